"""The journal: an append-only, partitioned log of frames with consumer leases, timers and cursors.

Topics are `accepted.<lane>`, `deliver.<channel>.<lane>` and `outcomes`. Each (topic, partition) is a stream whose frames
carry offsets 1, 2, 3, ... without gaps. A *group* (`plan`, `deliver.push`, `record`, `broadcast`) consumes a partition
under a lease; the lease's fence grows with every new holder, and an append made under a stale fence stores nothing.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from clarion.ports.journal_cells import CapWrite as CapWrite
from clarion.ports.journal_cells import Cell as Cell
from clarion.ports.journal_cells import Signal as Signal
from clarion.ports.journal_cells import Wait as Wait
from clarion.ports.journal_cells import WaitEnd as WaitEnd


class JournalTraits(msgspec.Struct, frozen=True):
    """Declared differences between backends. `atomic_append`: frames, commits, timers and cursors of one append are all
    stored or none. `failure_model` says in one sentence what can be lost and when."""

    atomic_append: bool
    survives_process_kill: bool
    survives_power_loss: bool
    failure_model: str


class Frame(msgspec.Struct, frozen=True):
    """One record of the journal before it has an offset: `payload` is a whole encoded frame of `count` events."""

    topic: str
    partition: int
    count: int
    payload: bytes


class StoredFrame(msgspec.Struct, frozen=True):
    """A frame as read back. `appended_ms` is Unix milliseconds by the writer's clock.

    A carrier may repeat frames at new offsets. `producer` then names who wrote them, and `sequence` grows by one with each
    frame of that producer on the stream, so that a repeated one is known by it. Where the carrier is the store, nothing
    repeats: the producer is empty and the sequence is the offset.
    """

    topic: str
    partition: int
    offset: int
    count: int
    appended_ms: int
    payload: bytes
    producer: str = ""
    sequence: int = 0


class Lease(msgspec.Struct, frozen=True):
    """The right to consume one partition for one group until it expires; compare by `fence`. `owner` names one start of a
    process: what comes after it has another name."""

    group: str
    partition: int
    owner: str
    fence: int


class Commit(msgspec.Struct, frozen=True):
    """Everything up to and including `offset` of the topic is done for the lease's group. `numbers` are the highest
    sequence done of each producer, by which repeated frames are known; empty where nothing repeats. A commit below the
    committed offset changes nothing."""

    lease: Lease
    topic: str
    offset: int
    numbers: dict[str, int] = {}


class IntentEntry(msgspec.Struct, frozen=True):
    """What one commit of a delivery worker intended and settled (`journal.intents`), under a number that grows."""

    number: int
    payload: bytes


class IntentWrite(msgspec.Struct, frozen=True):
    """Changes the open intents of the lease's group and partition: adds entries, then removes those numbered below
    `below`. One with the same number again replaces the first."""

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
    """A remembered idempotency key: the hash of the request body and the answer that was given. While an entry has not
    expired, an append with another one under its key is refused with `StaleKey`; the same one again changes nothing."""

    tenant: str
    key: str
    body_hash: bytes
    answer: bytes
    expires_ms: int


class Cancellation(msgspec.Struct, frozen=True):
    """A notification or broadcast that is not to be sent any more. `subject_id` is its 16-byte id."""

    tenant: str
    subject_id: bytes
    at_ms: int


class Cursor(msgspec.Struct, frozen=True):
    """Where a broadcast's planning stands. `position` is the last user ordinal planned; `payload` the encoded job;
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


class Append(msgspec.Struct, frozen=True):
    """One atomic append. Every part may be empty. With `lease`, the append is refused when its fence is stale. Signals go to
    those who waited before it; then waits end, and new ones are set."""

    frames: Sequence[Frame] = ()
    commits: Sequence[Commit] = ()
    timers: Sequence[Timer] = ()
    idempotency: Sequence[IdempotencyEntry] = ()
    cancellations: Sequence[Cancellation] = ()
    cursors: Sequence[Cursor] = ()
    moves: Sequence[CursorMove] = ()
    lease: Lease | None = None
    cells: Sequence[Cell] = ()
    waits: Sequence[Wait] = ()
    ended_waits: Sequence[WaitEnd] = ()
    signals: Sequence[Signal] = ()
    caps: Sequence[CapWrite] = ()
    intents: Sequence[IntentWrite] = ()


class StaleKey(Exception):
    """Idempotency keys, as (tenant, key), that hold another answer already; nothing of the append was stored."""

    def __init__(self, keys: frozenset[tuple[str, str]]) -> None:
        super().__init__(f"{len(keys)} idempotency keys hold another answer already")
        self.keys = keys


class StaleCaps(Exception):
    """A cap was changed by someone else since it was read; nothing of the append was stored. Read and decide again."""


class StaleCursor(Exception):
    """The cursor was paused, cancelled or moved by someone else; nothing of the append was stored."""


class Position(msgspec.Struct, frozen=True):
    """A group's committed offset in one stream, and the numbers committed beside it."""

    offset: int
    numbers: dict[str, int] = {}


class Watch(Protocol):
    """One consumer's view of whether the journal grew. Take it before the first read: whatever is appended after a
    read began, by this process or another, ends the next `wait`."""

    async def wait(self, timeout_ms: int) -> bool:
        """Wait until anyone may have appended since the last `wait` returned; False on time-out."""
        ...


class Journal(Protocol):
    """Appends are durable when the call returns. Reads see every append that returned before they began."""

    traits: JournalTraits
    partitions: int

    async def append(self, batch: Append) -> list[int]:
        """Store the batch durably and return the offsets of its frames, in their order.

        Concurrent calls share one commit. Raises `StaleLease`, `StaleCursor`, `StaleKey` or `StaleCaps` (other batches of
        the same commit are not touched), `Overloaded` when the disk or the queue is full (may be tried again) or
        `DurabilityError` (fail stop: every later append is refused). On any of them nothing of this batch is stored.
        """
        ...

    def read(self, topic: str, partition: int, after: int, limit_frames: int = 64) -> list[StoredFrame]:
        """Return up to `limit_frames` frames with offsets above `after`, in order (cheap, never waits). It may return
        fewer when they are large, but none only when there is none."""
        ...

    def since(self, topic: str, partition: int, appended_ms: int, limit_frames: int = 256) -> list[StoredFrame]:
        """Return frames appended at or after a time, oldest first."""
        ...

    def head(self, topic: str, partition: int) -> int:
        """Return the newest offset of a stream, 0 when it is empty."""
        ...

    def committed(self, group: str, partition: int) -> dict[str, Position]:
        """Return the group's committed position per topic."""
        ...

    async def open_intents(self, group: str, partition: int, after: int = 0) -> list[IntentEntry]:
        """Return a group's open intents numbered above `after`, in order, at most `INTENT_ENTRIES_PER_READ_MAX`."""
        ...

    def backlog(self, group: str) -> int:
        """Return how many events the group has not committed yet over all its partitions and topics it ever committed
        to or that match the group's topics (an estimate: frames are counted whole)."""
        ...

    def watch(self, topics: Collection[str] = (), partition: int | None = None) -> Watch:
        """Return a watch of its own for one consumer loop; what was appended before now is not reported by it.

        With topics it is woken by frames of theirs only (in one partition, if given), otherwise by every append.
        """
        ...

    async def acquire(self, group: str, partition: int, owner: str, ttl_ms: int) -> Lease | None:
        """Take a free or expired lease (its fence grows by one), or return None while another owner holds it. The
        current owner gets its own lease again, with a new fence."""
        ...

    async def renew(self, leases: Sequence[Lease], ttl_ms: int) -> list[Lease]:
        """Extend leases and return those still held."""
        ...

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give leases back at once."""
        ...

    async def vacate(self, owners: Collection[str]) -> int:
        """Let every lease of owners that are known to be dead expire at once, and return how many still ran. Should one
        be alive after all, it is refused from then on as after any take-over."""
        ...

    async def fire(self, now_ms: int, limit: int) -> int:
        """Move up to `limit` due timers to their streams, each exactly once, and return how many. Of those that are due,
        the lane their topic ends in decides who goes first, then the time."""
        ...

    def next_due_ms(self) -> int | None:
        """Return when the earliest timer is due."""
        ...

    def cancelled_since(self, sequence: int) -> tuple[int, list[bytes]]:
        """Return subject ids cancelled after `sequence`, oldest first, and the sequence number to go on from. One call
        returns at most `CANCELLATIONS_PER_READ_MAX` of them."""
        ...

    def idempotency(self, tenant: str, key: str, now_ms: int) -> IdempotencyEntry | None:
        """Return the remembered entry of a key that has not expired."""
        ...

    def cursor(self, cursor_id: bytes) -> Cursor | None:
        """Return a cursor by id."""
        ...

    def cursors(self, partition: int | None = None, status: str | None = None) -> list[Cursor]:
        """Return cursors, oldest first, filtered by partition and status."""
        ...

    async def set_cursor_status(self, cursor_id: bytes, status: str, allowed_from: Sequence[str], now_ms: int) -> bool:
        """Change a cursor's status if it is one of `allowed_from`; return whether it was."""
        ...

    async def trim(self, older_than_ms: int) -> int:
        """Delete frames appended before a time that every group with a commit on their stream has committed (a stream
        nobody committed to stays whole), expired idempotency entries and waits, and cancellations older by `HOLD_MS_MAX` (for so
        long may something of theirs be held), but none of a subject whose own timer still waits; return how many frames went. Offsets never start again, and cells and caps
        stay."""
        ...

    def cells(self, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of those of the keys that have one."""
        ...

    def cells_under(self, partition: int, prefix: bytes, limit: int, after: bytes = b"") -> list[tuple[bytes, bytes]]:
        """Return up to `limit` (key, value) pairs with keys that begin with `prefix` and stand above `after`, in order."""
        ...

    def waits(self, tenant: str, key: bytes, limit: int = 1_000) -> list[Wait]:
        """Return who waits for a key, those that expired left out."""
        ...

    def caps(self, tenant: str, rule: bytes, blocks: Sequence[int]) -> dict[int, bytes]:
        """Return the cap times of blocks of users: `CAP_BLOCK_USERS` unsigned 32-bit little-endian seconds since 1970 each.
        A block nobody wrote is left out and means all 0."""
        ...

    async def close(self) -> None:
        """Finish appends under way and close."""
        ...
