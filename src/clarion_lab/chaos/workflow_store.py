"""Reads workflow instances straight from the stores with another driver than the product's, after the product has
stopped."""

from collections import Counter
from typing import Final, NamedTuple

from clarion_lab.chaos.rows import Rows

ENDINGS: Final = frozenset({"completed", "merged", "cancelled", "expired", "failed"})
"""Events that end an instance."""
_INSTANCE_CELL: Final = b"i"
_NOTIFICATION_BYTES: Final = 16


class EventCounts(NamedTuple):
    """The number of events that ended an instance, and the number of events after the first of those."""

    endings: int
    afterwards: int


def count_events(events: list[str]) -> EventCounts:
    """Return the counts of an instance's events, given in their order."""
    first = next((at for at, event in enumerate(events) if event in ENDINGS), len(events) - 1)
    return EventCounts(sum(event in ENDINGS for event in events), len(events) - 1 - first)


def count_all_events(state: Rows) -> dict[str, EventCounts]:
    """Return the counts of each instance in a state store, by the 48 hex digits of its id."""
    reported: dict[str, list[str]] = {id_.hex(): [] for (id_,) in state("SELECT id FROM instances")}
    for id_, event in state("SELECT instance_id, event FROM progress ORDER BY instance_id, sequence"):
        reported.setdefault(id_.hex(), []).append(event)
    return {id_: count_events(events) for id_, events in reported.items()}


def open_cells(journal: Rows) -> Counter[str]:
    """Return the notifications (32 hex digits) of instances that a journal still holds, with their number of
    instances."""
    keys = [key for (key,) in journal("SELECT key FROM cells")]
    return Counter(
        key[len(_INSTANCE_CELL) :][:_NOTIFICATION_BYTES].hex() for key in keys if key.startswith(_INSTANCE_CELL)
    )
