"""Folds delivery receipts and changes of account health.

A receipt moves a state only as `delivery_state.TRANSITIONS` allows, so one that is late, repeated or out of order
changes nothing: the timeline shows it as late, or not at all when the state was reached before.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from clarion.domain.decision import Reason
from clarion.domain.delivery_state import TRANSITIONS, Event, State
from clarion.domain.history import Attempt, ChunkState, Delivery, HealthChange
from clarion.domain.ids import created_ms
from clarion.record.rules.rows import Rows

MOVES: Final = {"delivered": Event.CONFIRMED, "read": Event.CONFIRMED, "bounced": Event.BOUNCED}
"""Kinds of receipts that may move a state. All other kinds are only recorded and counted."""
_NEWS: Final = frozenset({"bounced", "complained", "unsubscribed"})
"""Kinds for which a broadcast's delivery gets a row of its own; a broadcast may have a million receipts of the other
kinds."""
_REASONS: Final = {"bounced": Reason.BOUNCED, "complained": Reason.COMPLAINED}
_ALREADY: Final = {
    Event.CONFIRMED: (State.DELIVERED, None),
    Event.BOUNCED: (State.FAILED, Reason.BOUNCED),
}
"""State and reason of a delivery that an event has moved before."""
_WAS_ACCEPTED: Final = frozenset({State.SENT, State.DELIVERED})


class Receipt(NamedTuple):
    """One receipt, as read from the journal; `place` is chunk and index of a broadcast's delivery."""

    delivery_id: bytes
    tenant: str
    place: tuple[bytes, int] | None
    kind: str
    at_ms: int
    detail: str
    user_id: str
    address: str
    channel: str
    provider: str
    vendor: str


class ReceiptFold:
    """The part of the fold for delivery receipts and account health."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.changes = rows.changes

    def receipt(self, recorded: Receipt) -> None:
        """Apply a receipt. One about an unknown delivery, or another tenant's, changes nothing."""
        found = self._rows.deliveries.get(recorded.delivery_id)
        if found is not None and found.tenant != recorded.tenant:
            return
        row = self._rows.current(recorded.delivery_id)
        if row is None and recorded.place is not None:
            row = self._of_chunk(recorded, *recorded.place)
        if row is None:
            return
        event = MOVES.get(recorded.kind)
        known = event is not None and _has_been(event, row)
        if known and recorded.kind != "read":
            return
        applied = event is None or known or (row.state, event) in TRANSITIONS
        reason = _REASONS.get(recorded.kind, Reason.NONE)
        name = recorded.kind if event is None or recorded.kind == "read" else event
        self.changes.attempts.append(
            Attempt(
                row.id, row.tenant, row.attempt, recorded.at_ms, recorded.at_ms, name, "", reason, recorded.detail, recorded.provider,
                recorded.vendor, "", None, 0, applied,
            )
        )  # fmt: skip
        if applied:
            self._rows.count(recorded.at_ms, row.tenant, row.channel, name, reason)
        if applied and event is not None and not known:
            row.reason, row.detail = reason, recorded.detail if reason else ""
            row.finished_ms, row.retry_ms = recorded.at_ms, None
            self._rows.move(row, event)

    def health_changes(self, rows: Iterable[HealthChange]) -> None:
        """Add changes of account health."""
        self.changes.health_changes.extend(rows)

    def _of_chunk(self, recorded: Receipt, chunk_id: bytes, index: int) -> Delivery | None:
        """Return a new row for a broadcast's delivery if the kind of receipt needs one; otherwise move its byte and
        return None."""
        chunk = self._rows.chunks.get(chunk_id)
        if chunk is None or chunk.tenant != recorded.tenant or index >= len(chunk.states):
            return None
        state = State(chunk.states[index])
        if recorded.kind in _NEWS:
            row = self._rows.deliveries[recorded.delivery_id] = _described(recorded, chunk, index, state)
            self.changes.deliveries[row.id] = row
            return row
        event = MOVES.get(recorded.kind)
        if event is not None and (state, event) in TRANSITIONS:
            self._rows.splice(chunk, index, bytes((TRANSITIONS[state, event],)), b"\0")
            self._rows.count(recorded.at_ms, chunk.tenant, chunk.channel, event, 0)
        elif event is None:
            self._rows.count(recorded.at_ms, chunk.tenant, chunk.channel, recorded.kind, 0)
        return None


def came_early(row: Delivery) -> bool:
    """Return whether a receipt came before the result of its attempt, as a fast provider's may."""
    return not row.accepted_attempt and any(_has_been(event, row) for event in _ALREADY)


def _has_been(event: Event, row: Delivery) -> bool:
    state, reason = _ALREADY[event]
    return row.state is state and reason in (None, row.reason)


def _described(recorded: Receipt, chunk: ChunkState, index: int, state: State) -> Delivery:
    """Return a delivery as recorded in its chunk: accepted at its first attempt, or not attempted."""
    row = Delivery(recorded.delivery_id, recorded.tenant, recorded.user_id, chunk.channel, recorded.address, state)
    row.planned_ms, row.chunk_id, row.chunk_index = created_ms(row.id), chunk.chunk_id, index
    row.reason = chunk.reasons[index]
    begun = chunk.intents[index] if chunk.intents else 0
    row.attempt, row.repeats = min(begun, 1), max(begun - 1, 0)
    if state in _WAS_ACCEPTED:
        at_ms = chunk.finished_ms or row.planned_ms
        row.attempt = row.accepted_attempt = 1
        row.provider, row.vendor = chunk.provider, chunk.vendor
        row.started_ms = row.accepted_ms = row.finished_ms = at_ms
    return row
