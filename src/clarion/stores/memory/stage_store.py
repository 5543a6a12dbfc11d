"""The stage store of the reference implementation: everything in dictionaries of one process, simple and obviously
correct.

A commit checks first and changes then, without awaiting in between, so each call is atomic on its event loop.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import product
from typing import NamedTuple

import msgspec

from clarion.domain.errors import DurabilityError
from clarion.domain.limits import HOLD_MS_MAX
from clarion.domain.limits_processes import CANCELLATIONS_PER_READ_MAX, INTENT_ENTRIES_PER_READ_MAX
from clarion.journal.repeats import without_repeats
from clarion.journal.topics import CANCELLATIONS, CURSORS, GROUP_TOPICS, OUTCOMES, REGROUPED, TIMERS, urgency
from clarion.ports.clock import Clock
from clarion.ports.journal_cells import Wait
from clarion.ports.regroup import Placement, check_ready
from clarion.ports.stage_store import (
    AtWork,
    Cancellation,
    Commit,
    Committed,
    Cursor,
    CursorMove,
    IdempotencyEntry,
    IntentEntry,
    IntentWrite,
    Lease,
    Position,
    StageResult,
    StageStoreTraits,
    StaleCursor,
    StaleKey,
    Timer,
)
from clarion.ports.streams import Frame
from clarion.stores.memory.journal_cells import MemoryCells
from clarion.stores.memory.journal_leases import MemoryLeases
from clarion.stores.memory.processes import MemoryProcesses
from clarion.stores.memory.streams import MemoryStreams


class _Unread(NamedTuple):
    """What a group has not read of a stream: its end, and the frames that hold the same in their places, with their times."""

    topic: str
    partition: int
    end: Position
    placed: list[tuple[Frame, int]]


class MemoryStageStore:
    """Implements `ports.stage_store.StageStore` for one process and one event loop; frames go to `streams`."""

    store_traits = StageStoreTraits(
        survives_process_kill=False,
        survives_power_loss=False,
        failure_model="Everything lives in one process and is lost when it ends; meant for tests and simulation.",
    )

    def __init__(self, clock: Clock, partitions: int, streams: MemoryStreams) -> None:
        self.partitions = partitions
        self._clock = clock
        self._carrier = streams
        self._closed = False
        self._positions: dict[tuple[str, int, str], Position] = {}
        self._leases = MemoryLeases(clock)
        self._processes = MemoryProcesses(clock)
        self._timers: dict[bytes, Timer] = {}
        self._due: list[tuple[int, int, bytes]] = []
        self._timers_set = 0
        self._idempotency: dict[tuple[str, str], IdempotencyEntry] = {}
        self._cancellations: list[tuple[int, Cancellation]] = []
        self._cancelled = 0
        self._cursors: dict[bytes, Cursor] = {}
        self._cells = MemoryCells()
        self._intents: dict[tuple[str, int], dict[int, bytes]] = defaultdict(dict)

    async def commit(self, result: StageResult) -> Committed:
        """Store a step and return its result. Raises `StaleLease`, `StaleCursor`, `StaleKey` or `StaleCaps`."""
        self._refuse_when_closed()
        self._check_leases(result)
        moved = dict(self._cursors)
        for move in result.broadcasts.moves:
            moved[move.cursor_id] = self._moved(moved.get(move.cursor_id), move)
        remembered = self._answers(result.accept_state.idempotency)
        blocks = self._cells.changed(result.plan_state.caps)
        self._cursors = moved
        self._idempotency.update(remembered)
        offsets = [self._carrier.put(frame) for frame in result.frames]
        for commit in result.progress.commits:
            self._commit(commit)
        for write in result.progress.intents:
            self._write_intents(write)
        for timer in result.timers:
            if timer.timer_id not in self._timers:
                self._timers[timer.timer_id] = timer
                self._timers_set += 1
                heappush(self._due, (timer.due_ms, self._timers_set, timer.timer_id))
        for cancellation in result.accept_state.cancellations:
            self._cancelled += 1
            self._cancellations.append((self._cancelled, cancellation))
        for cursor in result.broadcasts.cursors:
            self._cursors.setdefault(cursor.cursor_id, cursor)
        for signal in result.plan_state.signals:
            for topic, partition in self._cells.streams(signal, self._clock.now_ms()):
                self._carrier.put(Frame(topic, partition, 1, signal.payload))
        self._cells.store(result.plan_state, blocks)
        marked = {
            TIMERS: result.timers,
            CANCELLATIONS: result.accept_state.cancellations,
            CURSORS: result.broadcasts.cursors,
        }
        self._carrier.grew(*(marker for marker, some in marked.items() if some))
        after = result.cancellations_after
        return Committed(offsets, None if after is None else self._cancelled_since(after))

    async def acquire(self, group: str, partition: int, owner: str, ttl_ms: int) -> Lease | None:
        """Return a lease that was free, expired or the owner's own, with a new fence; None while another owner holds
        it."""
        return self._leases.acquire(group, partition, owner, ttl_ms)

    async def renew(self, leases: Sequence[Lease], ttl_ms: int) -> list[Lease]:
        """Extend leases and return those still held."""
        return self._leases.renew(leases, ttl_ms)

    async def release(self, leases: Sequence[Lease]) -> None:
        """Release leases at once."""
        self._leases.release(leases)

    async def release_dead(self, owners: Collection[str]) -> int:
        """Expire the leases of dead owners at once and return how many had not expired yet."""
        return self._leases.vacate(owners)

    async def at_work(self) -> AtWork:
        """Return who is at work."""
        return AtWork(self._leases.groups(), self._processes.names())

    def feature_level(self) -> int:
        """Return the level up to which every process reads."""
        return self._processes.level

    async def enroll(self, process: str, level: int, ttl_ms: int) -> int:
        """Say that a process is at work and reads up to a level, and return the level of the store."""
        self._processes.enroll(process, level, ttl_ms, self._leases.owners())
        return self._processes.level

    async def withdraw(self, process: str) -> None:
        """Say that a process has ended."""
        self._processes.withdraw(process)

    async def fire(self, now_ms: int, limit: int) -> int:
        """Move up to `limit` due timers to their streams, each exactly once, and return how many."""
        ripe = []
        while self._due and self._due[0][0] <= now_ms:
            ripe.append(heappop(self._due))
        ripe.sort(key=lambda entry: (urgency(self._timers[entry[2]].topic), entry[0]))
        for later in ripe[limit:]:
            heappush(self._due, later)
        due = [self._timers.pop(timer_id) for _, _, timer_id in ripe[:limit]]
        for timer in due:
            self._carrier.put(Frame(timer.topic, timer.partition, 1, timer.payload))
        self._carrier.grew()
        return len(due)

    async def next_due(self) -> int | None:
        """Return when the earliest timer is due, or None without timers."""
        return self._due[0][0] if self._due else None

    async def positions(self, group: str, partitions: Collection[int]) -> dict[int, dict[str, Position]]:
        """Return the group's committed positions by partition and topic."""
        found: dict[int, dict[str, Position]] = {partition: {} for partition in partitions}
        for (of, partition, topic), position in self._positions.items():
            if of == group and partition in found:
                found[partition][topic] = position
        return found

    async def open_intents(self, group: str, partition: int, after: int = 0) -> list[IntentEntry]:
        """Return a group's open intents numbered above `after`, in order."""
        entries = self._intents[group, partition]
        later = sorted(number for number in entries if number > after)[:INTENT_ENTRIES_PER_READ_MAX]
        return [IntentEntry(number, entries[number]) for number in later]

    async def backlog_of(self, groups: Collection[str]) -> dict[str, int]:
        """Return the number of events that each group has not committed yet."""
        return {group: self._backlog(group) for group in groups}

    async def cancellations_after(self, sequence: int) -> tuple[int, list[bytes]]:
        """Return the next sequence number to read after and the subject ids cancelled after `sequence`."""
        return self._cancelled_since(sequence)

    async def remembered(
        self, keys: Collection[tuple[str, str]], now_ms: int
    ) -> dict[tuple[str, str], IdempotencyEntry]:
        """Return the entries of the keys, by (tenant, key), without expired ones."""
        found = {place: self._idempotency.get(place) for place in keys}
        return {place: entry for place, entry in found.items() if entry is not None and entry.expires_ms > now_ms}

    async def cursors_by_id(self, cursor_ids: Collection[bytes]) -> dict[bytes, Cursor]:
        """Return cursors by id."""
        return {cursor_id: self._cursors[cursor_id] for cursor_id in cursor_ids if cursor_id in self._cursors}

    async def cursors_in(self, partitions: Collection[int], status: str | None = None) -> list[Cursor]:
        """Return the cursors of some partitions, oldest first, filtered by status."""
        found = (c for c in self._cursors.values() if c.partition in partitions and status in (None, c.status))
        return sorted(found, key=lambda cursor: (cursor.created_ms, cursor.cursor_id))

    async def set_cursor_status(self, cursor_id: bytes, status: str, allowed_from: Sequence[str], now_ms: int) -> bool:
        """Change a cursor's status if it is one of `allowed_from`; return whether it was changed."""
        cursor = self._cursors.get(cursor_id)
        if cursor is None or cursor.status not in allowed_from:
            return False
        self._cursors[cursor_id] = msgspec.structs.replace(cursor, status=status, updated_ms=now_ms)
        self._carrier.grew(CURSORS)
        return True

    async def cells_of(self, keys: Collection[tuple[int, bytes]]) -> dict[tuple[int, bytes], bytes]:
        """Return the values of those of the keys that exist."""
        return {
            (partition, key): value for partition, key in keys for value in self._cells.cells(partition, [key]).values()
        }

    async def cells_page(
        self, partition: int, prefix: bytes, limit: int, after: bytes = b""
    ) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` cells whose keys begin with `prefix` and are above `after`, in order."""
        return self._cells.cells_under(partition, prefix, limit, after)

    async def waits_of(
        self, keys: Collection[tuple[str, bytes]], limit: int = 1_000
    ) -> dict[tuple[str, bytes], list[Wait]]:
        """Return the waits for each of the keys, without expired ones."""
        found = {place: self._cells.waits(*place, self._clock.now_ms(), limit) for place in keys}
        return {place: waits for place, waits in found.items() if waits}

    async def caps_of(self, blocks: Mapping[tuple[str, bytes], Collection[int]]) -> dict[tuple[str, bytes, int], bytes]:
        """Return the cap times of those of the blocks that exist."""
        return {
            (*rule, block): times
            for rule, some in blocks.items()
            for block, times in self._cells.caps(*rule, list(some)).items()
        }

    async def trim(self, older_than_ms: int) -> int:
        """Delete old frames that every group has committed, expired idempotency entries and waits, and old
        cancellations. Return the number of deleted frames."""
        before = sum(len(stream.frames) for stream in self._carrier.streams.values())
        for (topic, partition), stream in self._carrier.streams.items():
            floors = [at.offset for (_, p, t), at in self._positions.items() if (t, p) == (topic, partition)]
            while stream.frames and floors and stream.trimmed < min(floors):
                if stream.frames[0].appended_ms >= older_than_ms:
                    break
                del stream.frames[0]
                stream.trimmed += 1
        now_ms = self._clock.now_ms()
        self._cells.trim(now_ms)
        self._idempotency = {key: entry for key, entry in self._idempotency.items() if entry.expires_ms > now_ms}
        self._cancellations = [
            (n, c)
            for n, c in self._cancellations
            if c.at_ms >= older_than_ms - HOLD_MS_MAX or c.subject_id in self._timers
        ]
        return before - sum(len(stream.frames) for stream in self._carrier.streams.values())

    async def check_alone(self) -> None:
        """Raise `OperatorError` while a lease is held."""
        self._leases.check_free()

    async def regroup(self, placement: Placement, recorded: Mapping[int, int]) -> None:
        """Move every row to its place with another number of partitions, without awaiting in between."""
        self._refuse_when_closed()
        self._leases.check_free()
        heads = {partition: self._carrier.streams[OUTCOMES, partition].head for partition in range(self.partitions)}
        check_ready(self.partitions, placement, heads, recorded)
        self._cells.learn(placement)
        placed = placement.timers(self._timers.values())
        unread = {group: self._unread(group, placement) for group in REGROUPED}
        self._cells.regroup(placement)  # nothing that can fail comes after
        self._timers = {timer.timer_id: timer for timer in placed}
        self._due = [(timer.due_ms, number, timer.timer_id) for number, timer in enumerate(placed)]
        self._timers_set = len(placed)
        heapify(self._due)
        for cursor_id, cursor in self._cursors.items():
            at = placement.partition_of(cursor_id)
            self._cursors[cursor_id] = msgspec.structs.replace(cursor, partition=at)
        for group, streams in unread.items():
            self._regroup_frames(group, streams)
        self.partitions = self._carrier.partitions = placement.after

    async def close(self) -> None:
        """Close the store: further commits raise `DurabilityError`."""
        self._closed = True

    def _unread(self, group: str, placement: Placement) -> list[_Unread]:
        found = []
        for topic, partition in product(GROUP_TOPICS[group], range(placement.before)):
            at, stream = (
                self._positions.get((group, partition, topic), Position(0)),
                self._carrier.streams[topic, partition],
            )
            new, numbers = without_repeats(stream.after(at.offset), at.numbers)
            placed = [
                (frame, one.appended_ms)
                for one in new
                for frame in placement.frames(Frame(topic, partition, one.count, one.payload))
            ]
            found.append(_Unread(topic, partition, Position(stream.head, dict(numbers)), placed))
        return found

    def _regroup_frames(self, group: str, streams: list[_Unread]) -> None:
        targets: dict[int, set[int]] = defaultdict(set)
        for topic, partition, end, placed in streams:
            self._positions[group, partition, topic] = end
            for frame, appended_ms in placed:
                self._carrier.put(frame, appended_ms)
                targets[partition].add(frame.partition)
        before = {place: self._intents.pop(place) for place in list(self._intents) if place[0] == group}
        for (_, partition), entries in sorted(before.items()):
            for target in targets[partition]:
                into = self._intents[group, target]
                for _, payload in sorted(entries.items()):
                    into[len(into) + 1] = payload

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise DurabilityError("the journal is closed")

    def _commit(self, commit: Commit) -> None:
        lease = commit.lease
        if commit.offset >= self._offset(lease.group, commit.topic, lease.partition):
            self._positions[lease.group, lease.partition, commit.topic] = Position(commit.offset, dict(commit.numbers))

    def _write_intents(self, write: IntentWrite) -> None:
        place = write.lease.group, write.lease.partition
        entries = self._intents[place] | {entry.number: entry.payload for entry in write.entries}
        self._intents[place] = {number: payload for number, payload in entries.items() if number >= write.below}

    def _cancelled_since(self, sequence: int) -> tuple[int, list[bytes]]:
        later = [(n, c.subject_id) for n, c in self._cancellations if n > sequence][:CANCELLATIONS_PER_READ_MAX]
        return (later[-1][0] if later else sequence), [subject_id for _, subject_id in later]

    def _offset(self, group: str, topic: str, partition: int) -> int:
        position = self._positions.get((group, partition, topic))
        return 0 if position is None else position.offset

    def _moved(self, cursor: Cursor | None, move: CursorMove) -> Cursor:
        if cursor is None or cursor.status != "running" or cursor.position != move.from_position:
            raise StaleCursor(f"cursor {move.cursor_id.hex()} is not running at {move.from_position}")
        return msgspec.structs.replace(
            cursor,
            position=move.position,
            planned=cursor.planned + move.planned,
            skipped=cursor.skipped + move.skipped,
            users=cursor.users + move.users,
            status="done" if move.done else cursor.status,
            updated_ms=self._clock.now_ms(),
        )

    def _check_leases(self, result: StageResult) -> None:
        named = [commit.lease for commit in result.progress.commits]
        named += [move.lease for move in result.broadcasts.moves]
        named += [write.lease for write in result.progress.intents]
        self._leases.check([*named, result.lease] if result.lease is not None else named)

    def _answers(self, entries: Sequence[IdempotencyEntry]) -> dict[tuple[str, str], IdempotencyEntry]:
        remembered: dict[tuple[str, str], IdempotencyEntry] = {}
        stale: set[tuple[str, str]] = set()
        for entry in entries:
            place = (entry.tenant, entry.key)
            known = remembered.get(place) or self._idempotency.get(place)
            if known is None or known.expires_ms <= self._clock.now_ms():
                remembered[place] = entry
            elif (known.body_hash, known.answer) != (entry.body_hash, entry.answer):
                stale.add(place)
        if stale:
            raise StaleKey(frozenset(stale))
        return remembered

    def _backlog(self, group: str) -> int:
        """Return the number of events that the group has not committed yet."""
        keys = {(topic, p) for topic in GROUP_TOPICS.get(group, ()) for p in range(self.partitions)}
        keys |= {(topic, p) for g, p, topic in self._positions if g == group}
        waiting = (self._carrier.streams[key].after(self._offset(group, *key)) for key in keys)
        return sum(frame.count for frames in waiting for frame in frames)
