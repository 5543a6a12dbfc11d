"""The outcomes of an attempt: a closed set, matched exhaustively.

Accepted         the provider took responsibility for the message
Throttled        asked to slow down; try again after a stated time
Transient        surely not sent, may work later
Ambiguous        the body was sent and no response came: the message may have been sent
Refused          the provider will never accept this message
InvalidRecipient the address is dead: suppress it
Misconfigured    the account is at fault, not the message
"""

import re
from typing import Any, TypeAlias

import msgspec


def _snake(name: str) -> str:
    return re.sub(r"\B(?=[A-Z])", "_", name).lower()


class _Outcome(msgspec.Struct, frozen=True, array_like=True, tag=_snake):
    pass


class Accepted(_Outcome, frozen=True):
    """The provider took the message; `content` is the content that a local vendor (in-app, sandbox) has stored,
    `detail` describes how the message was made to fit."""

    vendor_message_id: str = ""
    content: dict[str, Any] | None = None
    detail: str = ""


class Throttled(_Outcome, frozen=True):
    """The provider asks for a pause of `after_ms` milliseconds; None when it gave no time. `scope` is `account` for the
    whole account, or `recipient` for this one alone."""

    after_ms: int | None = None
    detail: str = ""
    scope: str = "account"


class Transient(_Outcome, frozen=True):
    """Surely not sent; a later attempt may succeed. `detail` holds the provider's own words."""

    detail: str = ""
    after_ms: int | None = None


class Ambiguous(_Outcome, frozen=True):
    """The request was sent and no response came, so the message may have been sent. `after_ms` is the pause that the
    provider asked for."""

    detail: str = ""
    after_ms: int | None = None


class Refused(_Outcome, frozen=True):
    """The provider will never take this message; `reason` is a stable code, `detail` its own words."""

    reason: str
    detail: str = ""


class InvalidRecipient(_Outcome, frozen=True):
    """The address or token is dead and is to be suppressed."""

    detail: str = ""


class Misconfigured(_Outcome, frozen=True):
    """Credentials, account or set-up are at fault; sending more of the same cannot help."""

    detail: str = ""


Outcome: TypeAlias = Accepted | Throttled | Transient | Ambiguous | Refused | InvalidRecipient | Misconfigured


def name_of(outcome: Outcome) -> str:
    """Return the name of an outcome in the API, in metrics and on the journal (`invalid_recipient`)."""
    return str(type(outcome).__struct_config__.tag)
