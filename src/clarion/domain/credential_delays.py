"""How long a peer waits after refused credentials: the first ones cost nothing, each further one doubles the wait up to a
bound, and all are forgiven after a quiet time."""

from typing import NamedTuple

from clarion.domain.limits_processes import (
    CREDENTIAL_DELAY_MS_MAX,
    CREDENTIAL_DELAY_MS_MIN,
    CREDENTIAL_QUIET_MS,
)


class Refusals(NamedTuple):
    """The refused credentials of a peer, and until when it waits."""

    number: int = 0
    until_ms: int = 0


def refused_again(before: Refusals, free: int, now_ms: int) -> Refusals:
    """Return the refusals after one more, of which `free` have no wait."""
    number = 1 if is_forgiven(before, now_ms) else before.number + 1
    doublings = min(number - free - 1, CREDENTIAL_DELAY_MS_MAX.bit_length())
    delay_ms = 0 if doublings < 0 else min(CREDENTIAL_DELAY_MS_MAX, CREDENTIAL_DELAY_MS_MIN << doublings)
    return Refusals(number, max(before.until_ms, now_ms + delay_ms))


def is_forgiven(refusals: Refusals, now_ms: int) -> bool:
    """Return whether the quiet time after the last wait is over."""
    return now_ms >= refusals.until_ms + CREDENTIAL_QUIET_MS
