"""The decisions of planning about one recipient on one channel, each with its reason."""

from enum import IntEnum
from typing import Final, TypeAlias

import msgspec


class Reason(IntEnum):
    """Why a delivery ended or did not start; chunks store the number (one byte a delivery)."""

    NONE = 0
    NO_CONTACT = 1
    OPTED_OUT = 2
    SUPPRESSED = 3
    NO_CONTENT = 4
    NO_PROVIDER = 5
    UNKNOWN_USER = 6
    DUPLICATE_RECIPIENT = 7
    QUIET_HOURS = 8
    CAPPED = 9
    ROUTED_ELSEWHERE = 10
    LOCAL_TIME = 11
    TOO_LATE = 12
    MERGED = 13
    EXPIRED = 20
    CANCELLED = 21
    ATTEMPTS_EXHAUSTED = 22
    REFUSED = 23
    INVALID_RECIPIENT = 24
    MISCONFIGURED = 25
    AMBIGUOUS_STOP = 26
    RENDER_FAILED = 27
    ASSUMED_SENT = 28
    BOUNCED = 29
    POISON = 30
    EGRESS_BLOCKED = 31
    PROVIDER_DOWN = 32
    PACED = 33
    RETRY_BUDGET = 34
    FAILED_OVER = 35
    COMPLAINED = 36


REASON_NAMES: Final = {reason: reason.name.lower() for reason in Reason}


class Send(msgspec.Struct, frozen=True, array_like=True):
    """Send to this address."""

    address: str


class Skip(msgspec.Struct, frozen=True, array_like=True):
    """Do not send, for this reason; `detail` names the fact that decided."""

    reason: Reason
    detail: str = ""


class Hold(msgspec.Struct, frozen=True, array_like=True):
    """Decide again at `until_ms` (Unix ms): quiet hours last until then, or a cap has room again."""

    until_ms: int
    reason: Reason
    detail: str = ""


class Merge(msgspec.Struct, frozen=True, array_like=True):
    """Put the delivery into the digest of a workflow in a version."""

    workflow: str
    version: int
    reason: Reason
    detail: str = ""


Decision: TypeAlias = Send | Skip | Hold | Merge
