"""The history of an unfinished delivery; it is passed on with the delivery from turn to turn."""

import msgspec


class Trail(msgspec.Struct, frozen=True, array_like=True):
    """`since_ms` is when this round began (Unix ms): the first attempt, or a replay. `failures` counts the passes over a
    channel's accounts that failed in it, `tried` names the accounts of the current pass that surely did not send it.
    `pinned` is the account that may have sent it: no other account is used any more. `parked_ms` is when it began to
    wait for an account, None when it is not waiting, and `parks` how often it has been deferred since then.
    """

    since_ms: int = 0
    failures: int = 0
    tried: tuple[str, ...] = ()
    pinned: str = ""
    parked_ms: int | None = None
    parks: int = 0
    reason: int = 0
    """Why it waits, or why its last attempt failed (`decision.Reason`)."""


def call_number(trail: Trail | None, attempt: int) -> int:
    """Return the number of this call within its round. A delivery that waited had turns without a call; one that was
    begun again after its worker died may have had calls that were not recorded."""
    return attempt if trail is None else trail.failures + len(trail.tried) + 1
