"""The stage store: the positions and working state of every stage, changed by one atomic commit.

A *group* (`plan`, `deliver.push`, `record`, `broadcast`) consumes a partition under a lease. The lease's fence grows with
every new holder, and a commit made under a stale fence stores nothing. A commit includes the frames of a step, so that
a step is stored whole or not at all.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from clarion.ports.feature_level import FeatureLevels
from clarion.ports.journal_cells import CapWrite, Cell, Signal, Wait, WaitEnd
from clarion.ports.streams import Frame


class Lease(msgspec.Struct, frozen=True):
    """The right to consume one partition for one group until it expires; compare by `fence`. `owner` names one start of
    a process: the next start has another name."""

    group: str
    partition: int
    owner: str
    fence: int


class AtWork(NamedTuple):
    """Who is at work on a store: the groups of which a lease is held, and the processes that are enrolled."""

    groups: frozenset[str]
    processes: frozenset[str]


class Commit(msgspec.Struct, frozen=True):
    """A position: the lease's group is done with everything up to and including `offset` of the topic. `numbers` are
    the highest sequence done of each producer, by which repeated frames are recognized; empty where nothing repeats. A
    commit below the committed offset changes nothing."""

    lease: Lease
    topic: str
    offset: int
    numbers: dict[str, int] = {}


class Position(msgspec.Struct, frozen=True):
    """A group's committed offset in one stream, and the numbers committed with it."""

    offset: int
    numbers: dict[str, int] = {}


class IntentEntry(msgspec.Struct, frozen=True):
    """The intents that one commit of a delivery worker opened and settled (`journal.intents`), under a growing
    number."""

    number: int
    payload: bytes


class IntentWrite(msgspec.Struct, frozen=True):
    """Changes the open intents of the lease's group and partition: adds entries, then removes those numbered below
    `below`. An entry with a stored number replaces it."""

    lease: Lease
    entries: Sequence[IntentEntry] = ()
    below: int = 0


class Timer(msgspec.Struct, frozen=True):
    """Puts `payload` (an encoded frame of one event) back on a stream at `due_ms`. `timer_id` is unique: adding the
    same id again replaces nothing and adds nothing."""

    timer_id: bytes
    due_ms: int
    topic: str
    partition: int
    payload: bytes


class IdempotencyEntry(msgspec.Struct, frozen=True):
    """A remembered idempotency key: the hash of the request body and the response that was sent. Until an entry
    expires, an append with a different entry for its key is refused with `StaleKey`; an equal one changes nothing."""

    tenant: str
    key: str
    body_hash: bytes
    answer: bytes
    expires_ms: int


class Cancellation(msgspec.Struct, frozen=True):
    """The cancellation of a notification or broadcast. `subject_id` is its 16-byte id."""

    tenant: str
    subject_id: bytes
    at_ms: int


class Cursor(msgspec.Struct, frozen=True):
    """The progress of a broadcast's planning. `position` is the last user ordinal planned; `payload` the encoded job;
    `status` one of `running`, `paused`, `cancelled`, `done`; the counts are deliveries planned and skipped so far."""

    cursor_id: bytes
    tenant: str
    partition: int
    status: str
    position: int
    planned: int
    skipped: int
    users: int
    created_ms: int
    updated_ms: int
    payload: bytes


class CursorMove(msgspec.Struct, frozen=True):
    """Advances a cursor inside an append, only if it is still `running` at `from_position`; otherwise the whole append
    is refused with `StaleCursor`. `planned`, `skipped` and `users` are added to the cursor's counts."""

    lease: Lease
    cursor_id: bytes
    from_position: int
    position: int
    planned: int
    skipped: int
    users: int
    done: bool


class GroupProgress(msgspec.Struct, frozen=True):
    """The progress of groups: committed positions in their streams, and the open intents of frames read beyond them."""

    commits: Sequence[Commit] = ()
    intents: Sequence[IntentWrite] = ()


class AcceptState(msgspec.Struct, frozen=True):
    """The state of acceptance: idempotency keys with their responses, and cancellations."""

    idempotency: Sequence[IdempotencyEntry] = ()
    cancellations: Sequence[Cancellation] = ()


class PlanState(msgspec.Struct, frozen=True):
    """The state of planning: cells, cap times, and waits with the signals that end them. Signals go to the waits set
    before the commit; then waits end, and new ones are set."""

    cells: Sequence[Cell] = ()
    caps: Sequence[CapWrite] = ()
    waits: Sequence[Wait] = ()
    ended_waits: Sequence[WaitEnd] = ()
    signals: Sequence[Signal] = ()


class Broadcasts(msgspec.Struct, frozen=True):
    """New cursors of broadcasts, and moves of existing ones."""

    cursors: Sequence[Cursor] = ()
    moves: Sequence[CursorMove] = ()


class StageResult(msgspec.Struct, frozen=True, kw_only=True):
    """The changes of one step, stored all or nothing. `frames` go to their streams, `timers` put a frame there later;
    the other parts stay in the store. With `lease`, the commit is refused when its fence is stale; the leases named in
    the parts are checked in any case. With `cancellations_after`, the commit returns the cancellations after that
    sequence number. With `may_wait_ms`, it may wait that long to join another writer's transaction, to save one."""

    lease: Lease | None = None
    frames: Sequence[Frame] = ()
    timers: Sequence[Timer] = ()
    progress: GroupProgress = GroupProgress()
    accept_state: AcceptState = AcceptState()
    plan_state: PlanState = PlanState()
    broadcasts: Broadcasts = Broadcasts()
    cancellations_after: int | None = None
    may_wait_ms: int = 0


class Committed(NamedTuple):
    """The result of a commit: the offsets of its frames, in their order, empty where another backend carries them; and,
    if requested, what `cancellations_after` would return at that moment. It includes every cancellation that was
    acknowledged before the commit became durable, up to the limit of one read."""

    offsets: list[int]
    cancelled: tuple[int, list[bytes]] | None = None


class StaleKey(Exception):
    """Idempotency keys, as (tenant, key), that have another response already; nothing of the append was stored."""

    def __init__(self, keys: frozenset[tuple[str, str]]) -> None:
        super().__init__(f"{len(keys)} idempotency keys have another response already")
        self.keys = keys


class StaleCaps(Exception):
    """A cap was changed by another writer since it was read; nothing of the append was stored. Read and decide
    again."""


class StaleCursor(Exception):
    """The cursor was paused, cancelled or moved by another writer; nothing of the append was stored."""


class StageStoreTraits(msgspec.Struct, frozen=True):
    """Declared differences between stores. `failure_model` describes in one sentence what can be lost and when."""

    survives_process_kill: bool
    survives_power_loss: bool
    failure_model: str


class StageStore(FeatureLevels, Protocol):
    """A commit is durable when the call returns. Reads see every commit that returned before they began; each reads
    many keys at once, and leaves out missing ones."""

    store_traits: StageStoreTraits
    partitions: int

    async def commit(self, result: StageResult) -> Committed:
        """Store a step durably, in one round trip regardless of its content.

        Concurrent calls share one transaction. Raises `StaleLease`, `StaleCursor`, `StaleKey` or `StaleCaps` (other
        results of the same transaction are not touched), `Overloaded` when the disk or the queue is full (the caller
        may retry) or `DurabilityError` (fail stop: every later commit is refused). In each of these cases nothing
        of the step is stored.
        """
        ...

    async def acquire(self, group: str, partition: int, owner: str, ttl_ms: int) -> Lease | None:
        """Acquire a free or expired lease (its fence grows by one), or return None while another owner holds it. The
        current owner gets its own lease again, with a new fence."""
        ...

    async def renew(self, leases: Sequence[Lease], ttl_ms: int) -> list[Lease]:
        """Extend leases and return those still held."""
        ...

    async def release(self, leases: Sequence[Lease]) -> None:
        """Release leases at once."""
        ...

    async def release_dead(self, owners: Collection[str]) -> int:
        """Expire at once every lease of owners that are known to be dead, and return how many had not expired. An owner
        that is alive after all is refused from then on, as after any takeover."""
        ...

    async def at_work(self) -> AtWork:
        """Return who is at work. What ended without a word counts until its lease or its enrollment runs out."""
        ...

    async def fire(self, now_ms: int, limit: int) -> int:
        """Move up to `limit` due timers to their streams, each exactly once, and return how many. Due timers are
        ordered by the lane at the end of their topic, then by time."""
        ...

    async def next_due(self) -> int | None:
        """Return when the earliest timer is due, in Unix milliseconds, None without timers."""
        ...

    async def positions(self, group: str, partitions: Collection[int]) -> dict[int, dict[str, Position]]:
        """Return the group's committed positions by partition and topic; a partition without commits is empty."""
        ...

    async def open_intents(self, group: str, partition: int, after: int = 0) -> list[IntentEntry]:
        """Return a group's open intents numbered above `after`, in order, at most `INTENT_ENTRIES_PER_READ_MAX`."""
        ...

    async def backlog_of(self, groups: Collection[str]) -> dict[str, int]:
        """Return the number of events that each group has not committed yet over all its partitions and topics (an
        estimate: frames are counted whole)."""
        ...

    async def cancellations_after(self, sequence: int) -> tuple[int, list[bytes]]:
        """Return subject ids cancelled after `sequence`, oldest first, and the sequence number to continue from. One
        call returns at most `CANCELLATIONS_PER_READ_MAX` of them."""
        ...

    async def remembered(
        self, keys: Collection[tuple[str, str]], now_ms: int
    ) -> dict[tuple[str, str], IdempotencyEntry]:
        """Return the unexpired entries of the keys, as (tenant, key)."""
        ...

    async def cursors_by_id(self, cursor_ids: Collection[bytes]) -> dict[bytes, Cursor]:
        """Return cursors by id."""
        ...

    async def cursors_in(self, partitions: Collection[int], status: str | None = None) -> list[Cursor]:
        """Return the cursors of some partitions, oldest first, filtered by status."""
        ...

    async def set_cursor_status(self, cursor_id: bytes, status: str, allowed_from: Sequence[str], now_ms: int) -> bool:
        """Change a cursor's status if it is one of `allowed_from`; return whether it was."""
        ...

    async def cells_of(self, keys: Collection[tuple[int, bytes]]) -> dict[tuple[int, bytes], bytes]:
        """Return the values of cells by (partition, key); missing ones are left out."""
        ...

    async def cells_page(
        self, partition: int, prefix: bytes, limit: int, after: bytes = b""
    ) -> list[tuple[bytes, bytes]]:
        """Return up to `limit` (key, value) pairs with keys that begin with `prefix` and are greater than `after`, in
        order."""
        ...

    async def waits_of(
        self, keys: Collection[tuple[str, bytes]], limit: int = 1_000
    ) -> dict[tuple[str, bytes], list[Wait]]:
        """Return the waits for each of the keys, as (tenant, key), at most `limit` each; expired ones are left out."""
        ...

    async def caps_of(self, blocks: Mapping[tuple[str, bytes], Collection[int]]) -> dict[tuple[str, bytes, int], bytes]:
        """Return cap times by (tenant, rule, block) of the blocks given by (tenant, rule): `CAP_BLOCK_USERS` unsigned
        32-bit little-endian seconds since 1970 each. A block that was never written is left out and means all 0."""
        ...

    async def trim(self, older_than_ms: int) -> int:
        """Delete frames appended before a time that every group with a commit on their stream has committed (a stream
        without commits stays whole), expired idempotency entries and waits, and cancellations older by `HOLD_MS_MAX`
        (the longest time for which a delivery may be held), except those of a subject whose own timer is pending;
        return the number of frames deleted. Offsets never start again, and cells and caps stay."""
        ...

    async def close(self) -> None:
        """Finish running commits and close."""
        ...
