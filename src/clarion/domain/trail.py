"""What an unfinished delivery has been through; it goes with the delivery from turn to turn."""

import msgspec


class Trail(msgspec.Struct, frozen=True, array_like=True):
    """`since_ms` is when this round began (Unix ms): the first attempt, or a replay. `failures` counts the passes over a
    channel's accounts that failed in it, `tried` names the accounts of the current pass that surely did not send it.
    `pinned` is the account that may have sent it: no other one is asked any more. `parked_ms` is when it began to wait
    for an account, None when it does not, and `parks` how often it has been put off since then.
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
    """Return which call of its round this is. A delivery that waited had turns without one; one that was begun again after
    its worker died may have had calls that nobody knows of."""
    return attempt if trail is None else trail.failures + len(trail.tried) + 1
