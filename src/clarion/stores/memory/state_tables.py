"""The tables of the state store in memory, and how a fold is stored: the reference of `tests/contract` for ledgers.

Rows are those of `domain.history`. Readers get copies of rows that can change, so nothing outside modifies the tables.
"""

import copy
import secrets
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Final, Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from clarion.domain.history import (
    INSTANCE_ENDINGS,
    Attempt,
    Capture,
    Changes,
    Chunk,
    ChunkState,
    CounterKey,
    DeadLetter,
    Delivery,
    HealthChange,
    InboxItem,
    Instance,
    Notification,
    Progress,
    TotalKey,
)
from clarion.domain.ids import notification_of
from clarion.domain.inbox import Horizon, ItemPlace, Mark
from clarion.domain.limits_delivery import RECEIPTS_KEPT_MAX
from clarion.ports.receipt_lookup import REPEATABLE
from clarion.ports.stage_store import Position

V = TypeVar("V")

END: Final = b"\xff" * 8
"""Any bytes followed by this are an upper bound of the ids that start with those bytes."""


class Rows(Generic[V]):
    """Rows by id, iterated in the order of their ids. Ids grow with time, so a new one is usually last."""

    __slots__ = ("_ids", "_rows")

    def __init__(self) -> None:
        self._rows: dict[bytes, V] = {}
        self._ids: list[bytes] = []

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, id_: bytes) -> V | None:
        """Return a row, or None when there is none."""
        return self._rows.get(id_)

    def put(self, id_: bytes, row: V) -> None:
        """Add or replace a row."""
        if id_ not in self._rows:
            insort(self._ids, id_)
        self._rows[id_] = row

    def between(self, low: bytes, high: bytes) -> Iterator[V]:
        """Yield rows with ids from `low` to `high`, both included, ascending."""
        for id_ in self._ids[bisect_left(self._ids, low) : bisect_right(self._ids, high)]:
            yield self._rows[id_]

    def newest(self, before: bytes | None = None) -> Iterator[tuple[bytes, V]]:
        """Yield (id, row) with ids below `before`, descending."""
        for index in range(len(self._ids) if before is None else bisect_left(self._ids, before), 0, -1):
            id_ = self._ids[index - 1]
            yield id_, self._rows[id_]

    def remove_up_to(self, edge: bytes) -> list[V]:
        """Remove and return the rows with ids up to and including `edge`."""
        count = bisect_right(self._ids, edge)
        gone, self._ids = self._ids[:count], self._ids[count:]
        return [self._rows.pop(id_) for id_ in gone]


class Span(NamedTuple):
    """The range of ordinals that a broadcast's in-app chunks cover, and of the shared sequence in which they arrived."""

    low: int
    high: int
    first_seq: int
    last_seq: int


class Letter(NamedTuple):
    """A dead letter with the time of a claim on its replay."""

    row: DeadLetter
    claimed_ms: int | None = None


class Tables:
    """All data of the store. No method awaits, so each call on the event loop sees a consistent state."""

    def __init__(self) -> None:
        self.positions: dict[int, tuple[Position, int]] = {}
        self.notifications: dict[str, Rows[Notification]] = {}
        self.deliveries: Rows[Delivery] = Rows()
        self.by_vendor_id: dict[tuple[str, str, str], bytes] = {}
        self.attempts: dict[tuple[bytes, str], dict[tuple[int, int, str], Attempt]] = {}
        self.chunks: Rows[Chunk] = Rows()
        self.chunk_states: dict[bytes, ChunkState] = {}
        self.spans: dict[str, Rows[Span]] = {}
        self.totals: dict[TotalKey, int] = {}
        self.items: dict[tuple[str, str], Rows[InboxItem]] = {}
        self.epoch = secrets.token_bytes(8)
        self.own_seqs: dict[tuple[str, str], int] = {}
        self.shared_seqs: dict[str, int] = {}
        self.places: dict[tuple[str, str], list[tuple[ItemPlace, bytes]]] = {}
        """Ids of own items by user, in the order of their places."""
        self.chunk_seqs: dict[bytes, int] = {}
        self.arrivals: dict[bytes, list[tuple[int, int, bytes]]] = {}
        """By chunk id: the shared sequence, the time and the members of each."""
        self.collapses: dict[tuple[str, str], set[bytes]] = {}
        self.marks: dict[tuple[str, str, bytes], tuple[Mark, int]] = {}
        """With the own sequence of the last change."""
        self.horizons: dict[tuple[str, str], Horizon] = {}
        self.withdrawals: dict[tuple[str, bytes], int] = {}
        """The shared sequence of each."""
        self.captures: dict[str, Rows[dict[int, Capture]]] = {}
        self.letters: dict[str, Rows[Letter]] = {}
        self.cancellations: dict[tuple[str, bytes], int] = {}
        self.seen_receipts: dict[tuple[str, bytes], dict[str, tuple[int, int]]] = {}
        self.instances: dict[tuple[str, bytes], Instance] = {}
        self.progress: dict[tuple[str, bytes], list[Progress]] = {}
        self.health_changes: dict[str, list[HealthChange]] = {}
        self.settings: dict[bytes, bytes] = {}
        self.counters: dict[CounterKey, int] = {}

    def store(self, changes: Changes) -> None:
        """Store the changes of a fold, in the order in which the parts depend on each other."""
        for notification in changes.notifications:
            self._notification(notification)
        for digest, facts in changes.settings.items():
            self.settings.setdefault(digest, facts)
        for id_, delivery in changes.deliveries.items():
            self._delivery(id_, delivery)
        for attempt in changes.attempts:
            self._attempt(attempt)
        self._chunks(changes)
        for item in changes.inbox_items:
            self._item(item)
        for capture in changes.captures:
            captures = self.captures.setdefault(capture.tenant, Rows())
            of_delivery = captures.get(capture.delivery_id) or {}
            of_delivery.setdefault(capture.attempt, capture)
            captures.put(capture.delivery_id, of_delivery)
        self._letters(changes)
        for tenant, id_, at_ms in changes.cancellations:
            self.cancellations.setdefault((tenant, id_), at_ms)
        for tenant, id_, user_id, at_ms in changes.seen_receipts:
            seen = self.seen_receipts.setdefault((tenant, id_), {})
            first_ms, last_ms = seen.get(user_id, (at_ms, at_ms))
            seen[user_id] = (first_ms, max(last_ms, at_ms))
        for progress in changes.progress:
            self._progress(progress)
        for health in changes.health_changes:
            self.health_changes.setdefault(health.tenant, []).append(health)
        for key, count in changes.counters.items():
            self.counters[key] = self.counters.get(key, 0) + count

    def own_step(self, tenant: str, user_id: str) -> int:
        """Return the next own sequence of a user."""
        seq = self.own_seqs[tenant, user_id] = self.own_seqs.get((tenant, user_id), 0) + 1
        return seq

    def shared_step(self, tenant: str) -> int:
        """Return the next shared sequence of a tenant."""
        seq = self.shared_seqs[tenant] = self.shared_seqs.get(tenant, 0) + 1
        return seq

    def _item(self, item: InboxItem) -> None:
        key = (item.tenant, item.user_id)
        items = self.items.setdefault(key, Rows())
        if items.get(item.item_id) is None:
            items.put(item.item_id, item)
            place = ItemPlace(self.shared_seqs.get(item.tenant, 0), self.own_step(*key))
            self.places.setdefault(key, []).append((place, item.item_id))

    def _notification(self, row: Notification) -> None:
        rows = self.notifications.setdefault(row.tenant, Rows())
        before = rows.get(row.id)
        if before is not None:
            row = replace(
                before,
                planned_ms=row.planned_ms if before.planned_ms is None else before.planned_ms,
                scheduled_ms=row.scheduled_ms if before.scheduled_ms is None else before.scheduled_ms,
            )
        rows.put(row.id, row)

    def _delivery(self, id_: bytes, row: Delivery) -> None:
        self.deliveries.put(id_, copy.copy(row))
        if row.vendor_message_id:
            self.by_vendor_id[row.tenant, row.vendor, row.vendor_message_id] = id_

    def _attempt(self, row: Attempt) -> None:
        receipts_kept = self.attempts.setdefault((row.delivery_id, row.tenant), {})
        if row.event in REPEATABLE and sum(event == row.event for _, _, event in receipts_kept) >= RECEIPTS_KEPT_MAX:
            return
        receipts_kept[row.attempt, row.finished_ms, str(row.event)] = copy.copy(row)

    def _chunks(self, changes: Changes) -> None:
        for chunk in sorted(changes.chunks, key=lambda one: one.chunk_id):
            if self.chunks.get(chunk.chunk_id) is not None:
                continue
            self.chunks.put(chunk.chunk_id, chunk)
            if chunk.channel == "inapp":
                seq = self.chunk_seqs[chunk.chunk_id] = self.shared_step(chunk.tenant)
                self._span(chunk, seq)
        for _, arrival in sorted(changes.arrivals.items()):
            seq = self.shared_step(arrival.tenant)
            self.arrivals.setdefault(arrival.chunk_id, []).append((seq, arrival.at_ms, arrival.members))
            recorded = self.chunks.get(arrival.chunk_id)
            if recorded is not None:
                self._span(recorded, seq)
        for tenant, collapse_key, broadcast in changes.collapses:
            self.collapses.setdefault((tenant, collapse_key), set()).add(broadcast)
        for id_, state in changes.chunk_states.items():
            self.chunk_states[id_] = copy.copy(state)
        for key, count in changes.totals.items():
            self.totals[key] = self.totals.get(key, 0) + count

    def _span(self, chunk: Chunk, seq: int) -> None:
        spans, broadcast = self.spans.setdefault(chunk.tenant, Rows()), notification_of(chunk.chunk_id)
        before = spans.get(broadcast) or Span(chunk.min_ordinal, chunk.max_ordinal, seq, seq)
        low, high = min(before.low, chunk.min_ordinal), max(before.high, chunk.max_ordinal)
        spans.put(broadcast, Span(low, high, before.first_seq, seq))

    def _letters(self, changes: Changes) -> None:
        for at_ms, tenant, id_ in changes.replays:
            letters = self.letters.setdefault(tenant, Rows())
            letter = letters.get(id_)
            if letter is not None:
                letters.put(id_, letter._replace(row=replace(letter.row, replayed_ms=at_ms)))
        for row in changes.dead_letters.values():
            self.letters.setdefault(row.tenant, Rows()).put(row.delivery_id, Letter(copy.copy(row)))

    def _progress(self, row: Progress) -> None:
        key = (row.tenant, row.instance_id)
        before = self.instances.get(key)
        if before is None or before.ended_ms is None:
            self.instances[key] = _instance_state(row, before)
        self.progress.setdefault(key, []).append(row)


def _instance_state(row: Progress, before: Instance | None) -> Instance:
    """Return the state of an instance after a row of progress. Callers pass no progress after the end of an
    instance."""
    ended_ms = row.at_ms if row.event in INSTANCE_ENDINGS else None
    state = row.event if ended_ms is not None or row.event == "waiting" else "running"
    if before is not None:
        return replace(before, step=row.step, state=state, ended_ms=ended_ms, detail=row.detail)
    return Instance(
        row.instance_id,
        row.tenant,
        row.notification_id,
        row.user_id,
        row.workflow,
        row.version,
        row.step,
        state,
        row.at_ms,
        ended_ms,
        row.detail,
    )
