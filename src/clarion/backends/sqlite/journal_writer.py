"""Group commit: one thread and one connection that run everything queued in one durable transaction.

Work is a function of a transaction. Each runs in a savepoint of its own, so a refusal undoes that work alone; what the
disk refuses undoes the whole commit. Whoever waits is told by one call into the event loop per commit.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import apsw

from clarion.backends.sqlite.courtesy import Courtesy
from clarion.backends.sqlite.wakes import Wakes
from clarion.domain.errors import ClarionError, DurabilityError, Overloaded
from clarion.domain.limits import JOURNAL_QUEUE_JOBS_MAX
from clarion.journal.watch import Interest, Stream
from clarion.ports.stage_store import StaleCaps, StaleCursor, StaleKey


class Touching(Protocol):
    """A transaction that knows which streams its work touched."""

    @property
    def grown(self) -> Collection[Stream]:
        """Return these streams, more rather than less."""
        ...


Tx = TypeVar("Tx", bound=Touching)
T = TypeVar("T")

_REFUSALS: Final = (
    ClarionError,
    StaleCaps,
    StaleCursor,
    StaleKey,
    ValueError,
    TypeError,
    apsw.ConstraintError,
    apsw.TooBigError,
)
"""What only the work that raised it is answerable for; anything else stops the writer."""
_TRY_AGAIN: Final = (apsw.FullError, apsw.BusyError)
"""SQLite has rolled back cleanly, and a later commit may succeed."""
_POLL_MS_MIN: Final = 3
_POLL_MS_MAX: Final = 10
LOOK_S: Final = 1.0
"""How often commits of others are looked for where these wake us: at whole seconds, as other work of an idle process is. A
wake-up may be lost."""


class _Job(NamedTuple):
    work: Callable[[Any], Any]
    future: asyncio.Future[Any]
    synced: bool


class _Result(NamedTuple):
    future: asyncio.Future[Any]
    value: Any
    error: Exception | None


class GroupCommit(Generic[Tx]):
    """Runs work on `db` in its own thread; `begin` makes the object that work gets from the connection, `wakes` are those of
    the processes that share the file.

    `committed` is called on the event loop with the streams that a commit touched: after each of our own, before the work's
    callers go on, and of others that concern us once `follow` was called. `look` is called now and then after that.
    `run`, `follow` and `close` belong to one event loop.
    """

    def __init__(
        self,
        db: apsw.Connection,
        begin: Callable[[apsw.Connection], Tx],
        committed: Callable[[Collection[Stream]], None],
        look: Callable[[], None],
        wakes: Wakes,
    ) -> None:
        self._db = db
        self._wakes = wakes
        self._is_woken = False
        self._synced = True
        self._begin = begin
        self._committed = committed
        self._look = look
        self._looking: asyncio.TimerHandle | None = None
        self._queue: deque[_Job] = deque()
        self._waiting: deque[_Job] = deque()
        """Work that may wait for a transaction of others."""
        self._last_call: asyncio.TimerHandle | None = None
        self._wake = threading.Condition()
        self._failure: DurabilityError | None = None
        self._closing: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._following = False
        self._courtesy = Courtesy()
        self._version = db.pragma("data_version")
        self._thread = threading.Thread(target=self._serve, name="journal-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[Tx], T], *, synced: bool = True, may_wait_ms: int = 0) -> T:
        """Return what the work returns once its transaction is durable; without `synced`, once it is stored so that it outlives
        this process, but maybe not a loss of power. Work that may wait joins the next transaction, and has one of its own
        only when there is none for so long.

        Raises whatever the work refuses with, `Overloaded` when the queue or the disk is full or another process holds
        the file, and `DurabilityError` when the commit failed, now or earlier.
        """
        if self._failure is not None:
            raise DurabilityError(str(self._failure))
        if self._closing is not None:
            raise DurabilityError("the journal is closed")
        if len(self._queue) + len(self._waiting) >= JOURNAL_QUEUE_JOBS_MAX:
            raise Overloaded("too many appends wait for the journal")
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = self._loop.create_future()
        job = _Job(work, future, synced)
        if may_wait_ms > 0:
            with self._wake:
                self._waiting.append(job)
            if self._last_call is None:
                self._last_call = self._loop.call_later(may_wait_ms / 1000, self._wait_no_longer)
            return await future
        with self._wake:
            self._queue.append(job)
            self._wake.notify()
        self._courtesy.began()
        return await future

    def _wait_no_longer(self) -> None:
        self._last_call = None
        with self._wake:
            if self._waiting:
                self._queue.append(self._waiting.popleft())  # the others go along
                self._wake.notify()

    def follow(self, interests: frozenset[Interest] | None) -> None:
        """Look out for commits of other processes from now on, of those that touch what is of interest (None: all)."""
        self._loop = asyncio.get_running_loop()
        if self._closing is not None:
            return
        if not self._following:
            self._is_woken = self._wakes.listen(self._heard)
            if self._is_woken:
                self._look_later()
            with self._wake:
                self._following = True
                self._wake.notify()
        self._wakes.want(interests)

    async def close(self) -> None:
        """Finish what is queued and close the connection."""
        if self._closing is None:
            self._wakes.close()
            if self._looking is not None:
                self._looking.cancel()
            self._loop = asyncio.get_running_loop()
            with self._wake:
                self._closing = self._loop.create_future()
                self._wake.notify()
        await self._closing

    def _heard(self, streams: Collection[Stream] | None) -> None:
        if streams is None:
            self._look()
        else:
            self._committed(streams)

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._looking = loop.call_at((loop.time() + LOOK_S) // LOOK_S * LOOK_S, self._look_again)

    def _look_again(self) -> None:
        self._look_later()
        self._look()

    def _serve(self) -> None:
        pause_ms: float = _POLL_MS_MIN
        while not (self._closing is not None and not self._queue and not self._waiting):
            jobs = self._take(pause_ms)
            if self._failure is not None:
                self._tell([_Result(job.future, None, DurabilityError(str(self._failure))) for job in jobs])
                continue
            if jobs:
                self._tell(*self._commit(jobs))
            if not self._following or self._is_woken:
                continue
            if self._others_committed():
                pause_ms = _POLL_MS_MIN
                self._call(self._look)
            else:
                pause_ms = min(pause_ms * 1.25, _POLL_MS_MAX)
        self._wakes.hang_up()
        self._db.close()
        self._call(self._settle_close)

    def _take(self, pause_ms: float) -> list[_Job]:
        with self._wake:
            if not self._queue and self._closing is None:
                polls = self._following and not self._is_woken and self._failure is None
                self._wake.wait(pause_ms / 1000 if polls else None)
            if not self._queue and self._closing is None:
                return []
            jobs = [*self._queue, *self._waiting]
            self._queue.clear()
            self._waiting.clear()
            return jobs

    def _commit(self, jobs: list[_Job]) -> tuple[list[_Result], Collection[Stream]]:
        """Return what became of jobs, and the streams that they touched."""
        try:
            self._sync(any(job.synced for job in jobs))
            self._db.execute("BEGIN IMMEDIATE")
            results, grown = self._run_all(jobs)
            self._courtesy.let_go()
            self._db.execute("COMMIT")
        except _TRY_AGAIN as error:
            self._roll_back()
            reason = f"the journal cannot write now: {error}"
            return [_Result(job.future, None, Overloaded(reason)) for job in jobs], ()
        except Exception as error:  # noqa: BLE001 - a writer that cannot tell what it stored must not go on
            self._failure = DurabilityError(f"the journal's commit failed: {error!r}")
            self._roll_back()
            return [_Result(job.future, None, DurabilityError(str(self._failure))) for job in jobs], ()
        with suppress(OSError):  # what was stored was stored, whoever hears of it
            self._wakes.send(grown)
        return results, grown

    def _sync(self, synced: bool) -> None:
        """Choose whether the next commit waits for the disk; checkpoints always do."""
        if synced != self._synced:
            self._db.execute(f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}")
            self._synced = synced

    def _run_all(self, jobs: list[_Job]) -> tuple[list[_Result], set[Stream]]:
        results = []
        transaction = self._begin(self._db)
        grown: set[Stream] = set()
        for job in jobs:
            self._db.execute("SAVEPOINT job")
            try:
                results.append(_Result(job.future, job.work(transaction), None))
            except _REFUSALS as error:
                self._db.execute("ROLLBACK TO job")
                grown.update(transaction.grown)
                transaction = self._begin(self._db)  # what the old one remembers was undone
                results.append(_Result(job.future, None, error))
            self._db.execute("RELEASE job")
        grown.update(transaction.grown)
        return results, grown

    def _roll_back(self) -> None:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except apsw.Error as error:
            self._failure = self._failure or DurabilityError(f"the journal could not roll back: {error!r}")

    def _others_committed(self) -> bool:
        # The number changes by commits of other connections only, so our own wake nobody twice.
        try:
            version = self._db.pragma("data_version")
        except apsw.Error as error:
            self._failure = DurabilityError(f"the journal cannot be read: {error!r}")
            return True
        changed = bool(version != self._version)
        self._version = version
        return changed

    def _tell(self, results: list[_Result], grown: Collection[Stream] = ()) -> None:
        self._call(self._settle, results, grown)
        self._courtesy.let_go()

    def _settle(self, results: list[_Result], grown: Collection[Stream]) -> None:
        self._committed(grown)
        if not self._queue:
            self._courtesy.ended()
        for future, value, error in results:
            if future.done():  # its caller was cancelled
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def _settle_close(self) -> None:
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(None)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is gone, and everyone who waited on it
            with self._wake:
                self._following = False
