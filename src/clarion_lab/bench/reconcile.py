"""Reconciliation: the API's acknowledgements against the provider's receipts and the states in the API."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

TERMINAL: Final = frozenset({"sent", "delivered", "failed", "dead", "expired", "skipped", "cancelled", "merged"})
SUCCESS: Final = frozenset({"sent", "delivered"})


class Balance(msgspec.Struct, frozen=True):
    """`lost`: acknowledged and neither received nor stored as required; `duplicates`: calls beyond the first for one
    delivery; `unfinished`: deliveries in no terminal state; `failed`: in a terminal state but not sent."""

    lost: int
    duplicates: int
    unfinished: int
    failed: int

    @property
    def clean(self) -> bool:
        """Return whether nothing is missing and every delivery reached a terminal state."""
        return self.lost == 0 and self.unfinished == 0 and self.failed == 0


def notification_of(public_id: str) -> str:
    """Return the 32 hex digits of a notification inside any public id of it or of one of its deliveries."""
    return public_id.partition("_")[2][:32]


def balance(
    acked: Iterable[str],
    received: Iterable[str] | None,
    states: Mapping[str, Iterable[str]],
    *,
    named: bool = True,
) -> Balance:
    """Return the balance of one delivery per notification. `received` holds delivery ids as the provider got them (None
    when the channel has no provider), `states` the states of each acknowledged id's deliveries. Without `named`,
    received messages have the simulator's own keys, so only their number is compared."""
    expected = {notification_of(id_) for id_ in acked}
    calls = Counter(received or ())
    arrived = {notification_of(id_) for id_ in calls}
    missing = expected - arrived if received is not None and named else set()
    short = 0 if named else max(len(expected) - len(calls), 0)
    known = {notification_of(id_): list(found) for id_, found in states.items()}
    unknown = {id_ for id_ in expected if not known.get(id_)}
    every = [state for found in known.values() for state in found]
    return Balance(
        lost=max(len(missing | unknown), short),
        duplicates=sum(calls.values()) - len(calls),
        unfinished=sum(state not in TERMINAL for state in every),
        failed=sum(state in TERMINAL and state not in SUCCESS for state in every),
    )


def percentile_ms(samples_ns: list[int], share: float) -> float | None:
    """Return the smallest sample that `share` of all samples do not exceed, in milliseconds; None without samples."""
    if not samples_ns:
        return None
    ordered = sorted(samples_ns)
    rank = max(0, -(-int(share * 1_000_000) * len(ordered) // 1_000_000) - 1)
    return round(ordered[min(rank, len(ordered) - 1)] / 1e6, 2)
