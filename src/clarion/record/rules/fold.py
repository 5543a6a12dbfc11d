"""The fold: current rows and events in order become changed rows. `delivery_state.next_state` alone decides
transitions.

`Fold` and `ReceiptFold` take the events of one batch, column by column from its frames, and change the same `Rows`. A
delivery touched many times in a batch is one changed row. Folding a stream in one batch or in any split of batches ends
in the same rows.
"""

from collections.abc import Iterable, Sequence

from clarion.domain.delivery_state import TRANSITIONS, Event, State
from clarion.domain.history import Attempt, Chunk, ChunkState, DeadLetter, Delivery, Notification, Progress
from clarion.domain.ids import notification_of
from clarion.domain.recorded_attempts import acceptance, fitting
from clarion.record.rules import chunk_bytes
from clarion.record.rules.fold_receipts import came_early
from clarion.record.rules.rows import Rows

_NAME_OF_PLANNED = {
    State.HELD: Event.HELD,
    State.MERGED: Event.MERGED,
    State.PLANNED: "planned",
    State.SKIPPED: "skipped",
    State.SENT: Event.ACCEPTED,
    State.FAILED: Event.REFUSED,
}


_AFTER_HOLD = {
    State.PLANNED: Event.RELEASED,
    State.SKIPPED: Event.SKIPPED,
    State.HELD: Event.HELD,
    State.MERGED: Event.MERGED,
}
"""The event that the state of a later plan means for a held delivery."""


class Fold:
    """The fold of one batch. `deliveries` and `chunks` are the current rows of everything the batch touches; they are
    changed in place. The results are in `changes`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.changes = rows.changes

    def notifications(self, rows: Iterable[Notification]) -> None:
        """Add planned or scheduled notifications; the store keeps the values of an earlier row."""
        self.changes.notifications.extend(rows)

    def planned(self, at_ms: int, rows: Iterable[Delivery]) -> None:
        """Add new deliveries, `planned` or `skipped`. One that has a row already stays as it is, unless it was held."""
        known, changed = self._rows.deliveries, self.changes.deliveries
        for row in rows:
            if row.id in known:
                self._decided_again(at_ms, known[row.id], row)
                continue
            known[row.id] = changed[row.id] = row
            if row.state is State.HELD:
                self._add_plan(at_ms, Event.HELD, row, row)
            elif row.state is State.PLANNED and row.detail:
                self._add_plan(at_ms, Event.FOLLOWED, row, row)
                row.detail = ""
            self._rows.count(at_ms, row.tenant, row.channel, _NAME_OF_PLANNED[row.state], row.reason)

    def _decided_again(self, at_ms: int, held: Delivery, row: Delivery) -> None:
        """Apply the new decision about a held delivery; any other delivery stays as it is."""
        event = _AFTER_HOLD.get(row.state)
        if held.state is not State.HELD or event is None:
            return
        held.reason, held.detail, held.retry_ms = row.reason, row.detail, row.retry_ms
        held.finished_ms, held.profile_id, held.setting = row.finished_ms, row.profile_id, row.setting
        self._add_plan(at_ms, event, held, row)
        self._rows.move(held, event)
        self._rows.count(at_ms, held.tenant, held.channel, event, row.reason)

    def _add_plan(self, at_ms: int, event: Event, held: Delivery, row: Delivery) -> None:
        self.changes.attempts.append(
            Attempt(held.id, held.tenant, 0, at_ms, at_ms, event, "", row.reason, row.detail, "", "", "", row.retry_ms)
        )

    def request_facts(self, facts: Iterable[tuple[bytes, bytes]]) -> None:
        """Store shared facts by their digests."""
        self.changes.settings.update(facts)

    def chunk_released(self, chunk_id: bytes, at_ms: int, states: bytes, reasons: bytes) -> None:
        """Apply the decisions about the held deliveries of a chunk; a byte of 0 leaves its delivery unchanged."""
        chunk = self._rows.chunks.get(chunk_id)
        if chunk is None:
            return
        before, old_reasons = chunk.states, chunk.reasons
        after, new_reasons = bytearray(before), bytearray(old_reasons)
        for index, (state, recorded) in enumerate(zip(before, states, strict=True)):
            if recorded and state == State.HELD:
                after[index], new_reasons[index] = recorded, reasons[index]
        self._rows.splice(chunk, 0, bytes(after), bytes(new_reasons), at_ms)
        for (byte, reason), count in chunk_bytes.tally(bytes(after), bytes(new_reasons)).items():
            fresh = count - sum(pair == (byte, reason) for pair in zip(before, old_reasons, strict=True))
            if fresh > 0:
                self._rows.count(at_ms, chunk.tenant, chunk.channel, _NAME_OF_PLANNED[State(byte)], reason, fresh)

    def chunk(self, chunk: Chunk, state: ChunkState, collapse_keys: Iterable[str] = ()) -> None:
        """Add a planned chunk, with the collapse keys of its content. One that has a row already stays as it is."""
        if chunk.chunk_id in self._rows.chunks:
            return
        self._rows.chunks[chunk.chunk_id] = self.changes.chunk_states[chunk.chunk_id] = state
        self.changes.chunks.append(chunk)
        broadcast = notification_of(chunk.chunk_id)
        self.changes.collapses.update(((chunk.tenant, key, broadcast), None) for key in collapse_keys)
        for (byte, reason), count in chunk_bytes.tally(state.states, state.reasons).items():
            self._rows.total(chunk.tenant, broadcast, chunk.channel, byte, reason, count)
            name = _NAME_OF_PLANNED.get(State(byte), "planned")
            self._rows.count(chunk.planned_ms, chunk.tenant, chunk.channel, name, reason, count)

    def intents(self, at_ms: int, delivery_ids: Iterable[bytes], attempts: Iterable[int]) -> None:
        """Apply attempts about to be made. An attempt that is started again may reach the provider twice, so it is
        counted."""
        for id_, attempt in zip(delivery_ids, attempts, strict=True):
            row = self._rows.current(id_)
            if row is None:
                continue
            if attempt > row.attempt:
                row.attempt, row.repeats, row.retry_ms = attempt, 0, None
                if not row.accepted_attempt:
                    row.started_ms = at_ms
            else:
                row.repeats += 1
            self._rows.move(row, Event.INTENT)

    def chunk_intents(self, chunk_id: bytes, first_index: int, count: int) -> None:
        """Apply the intents of first attempts of a slice of a chunk."""
        chunk = self._rows.chunks.get(chunk_id)
        if chunk is None:
            return
        end = first_index + count
        begun = chunk.intents or bytes(len(chunk.states))
        chunk.intents = begun[:first_index] + chunk_bytes.begun_again(begun[first_index:end]) + begun[end:]
        self._rows.splice(chunk, first_index, chunk_bytes.after(chunk.states[first_index:end], Event.INTENT))

    def chunk_attempted(
        self, chunk_id: bytes, first_index: int, reported: bytes, finished_ms: int, provider: str, vendor: str
    ) -> None:
        """Apply the first attempts of a slice of a chunk; a reported byte of 0 leaves its delivery unchanged."""
        chunk = self._rows.chunks.get(chunk_id)
        if chunk is None:
            return
        before = chunk.states[first_index : first_index + len(reported)]
        states = chunk_bytes.after_each(before, reported)
        chunk.provider, chunk.vendor, chunk.finished_ms = provider, vendor, finished_ms
        self._rows.splice(chunk, first_index, states, at_ms=finished_ms)
        for byte in set(states):
            event = chunk_bytes.event_of(byte)
            count = sum(new == byte != old for old, new in zip(before, states, strict=True))
            if event is not None and count:
                self._rows.count(finished_ms, chunk.tenant, chunk.channel, event, 0, count)

    def knows(self, delivery_id: bytes) -> bool:
        """Return whether the delivery has a row."""
        return delivery_id in self._rows.deliveries

    def describe(self, row: Delivery) -> None:
        """Add a row for a delivery before its first event: a broadcast delivery has none until then."""
        self._rows.deliveries.setdefault(row.id, row)

    def attempted(self, event: Event, recorded: Attempt) -> bool:
        """Apply the result of an attempt of a delivery that has a row; return whether it changed the delivery."""
        row = self._rows.current(recorded.delivery_id)
        if row is None:
            return False
        if recorded.attempt > row.attempt:
            row.attempt, row.repeats = recorded.attempt, 0
        recorded.applied = applied = (row.state, event) in TRANSITIONS
        if event is Event.ACCEPTED and not applied and came_early(row):
            self._accept(row, recorded)
            self.changes.deliveries[row.id] = row
            self._rows.count(recorded.finished_ms, row.tenant, row.channel, event, recorded.reason)
            return True
        if applied and event is Event.ACCEPTED:
            self._accept(row, recorded)
        elif event is not Event.PARKED or (row.state, row.reason) != (State.RETRYING, recorded.reason):
            self._add_attempt(row, recorded)  # further waits for the same reason are not recorded again
        if applied:
            row.reason, row.detail = recorded.reason, "" if recorded.outcome == "accepted" else recorded.detail
            row.finished_ms, row.retry_ms = recorded.finished_ms, recorded.retry_ms
            self._rows.count(recorded.finished_ms, row.tenant, row.channel, event, recorded.reason)
        self._rows.move(row, event)
        return applied

    def dead(self, letter: DeadLetter) -> None:
        """Store a dead letter for replay, if the delivery is dead or failed."""
        row = self._rows.deliveries[letter.delivery_id]
        if row.state in (State.DEAD, State.FAILED):
            self.changes.dead_letters[letter.delivery_id] = letter

    def replayed(
        self,
        delivery_ids: Sequence[bytes],
        at_ms: Sequence[int],
        details: Sequence[str] = (),
        addresses: Sequence[str | None] = (),
        due_ms: Sequence[int | None] = (),
    ) -> None:
        """Open dead deliveries again, at another address where one is given. One that is not dead stays as it is."""
        none = [None] * len(delivery_ids)
        columns = zip(delivery_ids, at_ms, details or none, addresses or none, due_ms or none, strict=True)
        for id_, when_ms, detail, address, due in columns:
            row = self._rows.current(id_)
            if row is None or (row.state, Event.REPLAYED) not in TRANSITIONS:
                continue
            row.reason, row.detail, row.retry_ms = 0, "", due
            row.address = address or row.address
            self.changes.attempts.append(
                Attempt(
                    id_, row.tenant, row.attempt, when_ms, when_ms, Event.REPLAYED, "", 0, detail or "", "", "", "", due
                )
            )
            self._rows.move(row, Event.REPLAYED)
            self._rows.count(when_ms, row.tenant, row.channel, Event.REPLAYED, 0)
            letter = self.changes.dead_letters.get(id_)
            if letter is None:
                self.changes.replays.append((when_ms, row.tenant, id_))
            else:
                letter.replayed_ms = when_ms

    def cancelled(self, tenants: Sequence[str], subject_ids: Sequence[bytes], at_ms: Sequence[int]) -> None:
        """Add cancellations. Deliveries end as `cancelled` when the stage that holds them reports it, not before: one
        that is being sent may still become `sent`."""
        self.changes.cancellations.extend(zip(tenants, subject_ids, at_ms, strict=True))

    def seen(
        self, tenants: Iterable[str], notification_ids: Iterable[bytes], user_ids: Iterable[str], at_ms: Iterable[int]
    ) -> None:
        """Add seen notifications. They move no delivery: a seen notification has been sent already."""
        self.changes.seen_receipts.extend(zip(tenants, notification_ids, user_ids, at_ms, strict=True))

    def progress(self, rows: Iterable[Progress]) -> None:
        """Add the progress of workflow instances, in order."""
        self.changes.progress.extend(rows)

    def _accept(self, row: Delivery, recorded: Attempt) -> None:
        if row.accepted_attempt:  # accepted, bounced, replayed, accepted again: the first gets its own row
            self.changes.attempts.append(acceptance(row))
        if recorded.detail and recorded.outcome == "accepted":
            self.changes.attempts.append(fitting(recorded))
        row.provider, row.vendor, row.vendor_message_id = recorded.provider, recorded.vendor, recorded.vendor_message_id
        row.started_ms, row.accepted_ms, row.accepted_attempt = (
            recorded.started_ms,
            recorded.finished_ms,
            recorded.attempt,
        )

    def _add_attempt(self, row: Delivery, recorded: Attempt) -> None:
        recorded.repeats = row.repeats if recorded.attempt == row.attempt else 0
        self.changes.attempts.append(recorded)
        if not row.accepted_attempt and recorded.provider:
            row.provider, row.vendor, row.started_ms = recorded.provider, recorded.vendor, recorded.started_ms
