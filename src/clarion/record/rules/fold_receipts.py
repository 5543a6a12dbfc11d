"""How what providers tell afterwards folds: receipts of deliveries, and how accounts stand.

A receipt moves a state only as `delivery_state.TRANSITIONS` lets it, so one that is late, repeated or out of order changes
nothing: it is told in the timeline as late, or not at all when it says what is known.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from clarion.domain.decision import Reason
from clarion.domain.delivery_state import TRANSITIONS, Event, State
from clarion.domain.history import Attempt, ChunkState, Delivery, StandingChange
from clarion.domain.ids import created_ms
from clarion.record.rules.rows import Rows

MOVES: Final = {"delivered": Event.CONFIRMED, "read": Event.CONFIRMED, "bounced": Event.BOUNCED}
"""Kinds of receipts that may move a state. All others are told and counted."""
TOLD: Final = frozenset({"read", "opened", "clicked", "complained", "unsubscribed", "resubscribed", "deferred"})
"""Kinds that stand in the timeline under their own name."""

_NEWS: Final = frozenset({"bounced", "complained", "unsubscribed"})
"""Kinds for which a broadcast's delivery gets a row of its own; of the others a million may come for one broadcast."""
_REASONS: Final = {"bounced": Reason.BOUNCED, "complained": Reason.COMPLAINED}
_ALREADY: Final = {
    Event.CONFIRMED: (State.DELIVERED, None),
    Event.BOUNCED: (State.FAILED, Reason.BOUNCED),
}
"""State and reason of a delivery that an event has moved before."""
_WAS_ACCEPTED: Final = frozenset({State.SENT, State.DELIVERED})


class Receipt(NamedTuple):
    """One receipt, as the journal brings it; `place` is chunk and index of a broadcast's delivery."""

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


class ReceiptFold(Rows):
    """The part of the fold that takes what providers tell."""

    def receipt(self, told: Receipt) -> None:
        """Take a receipt. One about a delivery that is not known, or is another tenant's, changes nothing."""
        found = self._deliveries.get(told.delivery_id)
        if found is not None and found.tenant != told.tenant:
            return
        row = self._current(told.delivery_id)
        if row is None and told.place is not None:
            row = self._of_chunk(told, *told.place)
        if row is None:
            return
        event = MOVES.get(told.kind)
        known = event is not None and _has_been(event, row)
        if known and told.kind != "read":
            return
        applied = event is None or known or (row.state, event) in TRANSITIONS
        reason = _REASONS.get(told.kind, Reason.NONE)
        name = told.kind if event is None or told.kind == "read" else event
        self.changes.attempts.append(
            Attempt(
                row.id, row.tenant, row.attempt, told.at_ms, told.at_ms, name, "", reason, told.detail, told.provider,
                told.vendor, "", None, 0, applied,
            )
        )  # fmt: skip
        if applied:
            self._count(told.at_ms, row.tenant, row.channel, name, reason)
        if applied and event is not None and not known:
            row.reason, row.detail = reason, told.detail if reason else ""
            row.finished_ms, row.retry_ms = told.at_ms, None
            self._move(row, event)

    def standings(self, rows: Iterable[StandingChange]) -> None:
        """Keep how accounts at providers stood."""
        self.changes.standings.extend(rows)

    def _of_chunk(self, told: Receipt, chunk_id: bytes, index: int) -> Delivery | None:
        """Return a new row for a broadcast's delivery if the receipt is worth one; otherwise its byte moves here."""
        chunk = self._chunks.get(chunk_id)
        if chunk is None or chunk.tenant != told.tenant or index >= len(chunk.states):
            return None
        state = State(chunk.states[index])
        if told.kind in _NEWS:
            row = self._deliveries[told.delivery_id] = _described(told, chunk, index, state)
            self.changes.deliveries[row.id] = row
            return row
        event = MOVES.get(told.kind)
        if event is not None and (state, event) in TRANSITIONS:
            self._splice(chunk, index, bytes((TRANSITIONS[state, event],)), b"\0")
            self._count(told.at_ms, chunk.tenant, chunk.channel, event, 0)
        elif event is None:
            self._count(told.at_ms, chunk.tenant, chunk.channel, told.kind, 0)
        return None


def told_ahead(row: Delivery) -> bool:
    """Return whether a receipt came before the result of the attempt it is about, as a quick provider's may."""
    return not row.accepted_attempt and any(_has_been(event, row) for event in _ALREADY)


def _has_been(event: Event, row: Delivery) -> bool:
    state, reason = _ALREADY[event]
    return row.state is state and reason in (None, row.reason)


def _described(told: Receipt, chunk: ChunkState, index: int, state: State) -> Delivery:
    """Return a delivery as its chunk tells it: accepted at its first attempt, or not attempted."""
    row = Delivery(told.delivery_id, told.tenant, told.user_id, chunk.channel, told.address, state)
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
