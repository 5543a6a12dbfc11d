"""The journal: streams and stage store where one engine is both, and one append that fills them.

`append` and the reads declared here answer for one key at a time without waiting; the ports this one is made of have
awaited forms of all of them, for many keys in one call.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from clarion.ports.journal_cells import CapWrite as CapWrite
from clarion.ports.journal_cells import Cell as Cell
from clarion.ports.journal_cells import Signal as Signal
from clarion.ports.journal_cells import Wait as Wait
from clarion.ports.journal_cells import WaitEnd as WaitEnd
from clarion.ports.stage_store import Admission as Admission
from clarion.ports.stage_store import Broadcasts as Broadcasts
from clarion.ports.stage_store import Cancellation as Cancellation
from clarion.ports.stage_store import Commit as Commit
from clarion.ports.stage_store import Cursor as Cursor
from clarion.ports.stage_store import CursorMove as CursorMove
from clarion.ports.stage_store import IdempotencyEntry as IdempotencyEntry
from clarion.ports.stage_store import IntentEntry as IntentEntry
from clarion.ports.stage_store import IntentWrite as IntentWrite
from clarion.ports.stage_store import Lease as Lease
from clarion.ports.stage_store import PlanState as PlanState
from clarion.ports.stage_store import Position as Position
from clarion.ports.stage_store import Progress as Progress
from clarion.ports.stage_store import StageResult as StageResult
from clarion.ports.stage_store import StageStore as StageStore
from clarion.ports.stage_store import StageStoreTraits as StageStoreTraits
from clarion.ports.stage_store import StaleCaps as StaleCaps
from clarion.ports.stage_store import StaleCursor as StaleCursor
from clarion.ports.stage_store import StaleKey as StaleKey
from clarion.ports.stage_store import Timer as Timer
from clarion.ports.streams import Frame as Frame
from clarion.ports.streams import Place as Place
from clarion.ports.streams import StoredFrame as StoredFrame
from clarion.ports.streams import Streams as Streams
from clarion.ports.streams import StreamsTraits as StreamsTraits
from clarion.ports.streams import Watch as Watch


class JournalTraits(msgspec.Struct, frozen=True):
    """Declared differences between backends. `atomic_append`: frames, commits, timers and cursors of one append are all
    stored or none. `failure_model` says in one sentence what can be lost and when."""

    atomic_append: bool
    survives_process_kill: bool
    survives_power_loss: bool
    failure_model: str


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


def append_of(result: StageResult) -> Append:
    """Return the append that stores a step's result."""
    progress, admission, plan, broadcasts = result.progress, result.admission, result.plan_state, result.broadcasts
    return Append(
        frames=result.frames,
        commits=progress.commits,
        timers=result.timers,
        idempotency=admission.idempotency,
        cancellations=admission.cancellations,
        cursors=broadcasts.cursors,
        moves=broadcasts.moves,
        lease=result.lease,
        cells=plan.cells,
        waits=plan.waits,
        ended_waits=plan.ended_waits,
        signals=plan.signals,
        caps=plan.caps,
        intents=progress.intents,
    )


class Journal(Streams, StageStore, Protocol):
    """Appends are durable when the call returns. Reads see every append that returned before they began."""

    traits: JournalTraits

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

    def backlog(self, group: str) -> int:
        """Return how many events the group has not committed yet over all its partitions and topics it ever committed
        to or that match the group's topics (an estimate: frames are counted whole)."""
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
