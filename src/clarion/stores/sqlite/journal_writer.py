"""Group commit: one thread and one connection that run everything queued in one durable transaction.

Work is a function of a transaction. Each job runs in its own savepoint, so a refusal rolls back that job alone; a disk
error rolls back the whole commit. One call into the event loop per commit wakes all waiting callers.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import apsw

from clarion.domain.errors import ClarionError, DurabilityError, Overloaded
from clarion.domain.limits_processes import JOURNAL_QUEUE_JOBS_MAX
from clarion.ports.stage_store import StaleCaps, StaleCursor, StaleKey
from clarion.runtime.watch import Interest, Stream
from clarion.stores.sqlite.gil_yield import GilYield
from clarion.stores.sqlite.wake_ups import WakeUps


class StreamTransaction(Protocol):
    """A transaction that records which streams its work changed."""

    @property
    def grown(self) -> Collection[Stream]:
        """The streams that its work changed, possibly with some that it did not."""
        ...


Tx = TypeVar("Tx", bound=StreamTransaction)
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
"""Errors that fail only the job that raised them; any other error stops the writer."""
_RETRIABLE: Final = (apsw.FullError, apsw.BusyError)
"""After these errors SQLite has rolled back cleanly, and a later commit may succeed."""
_POLL_MS_MIN: Final = 3
_POLL_MS_MAX: Final = 10
CHECK_S: Final = 1.0
"""Interval of checks for commits of other processes where these send wake-ups, as a wake-up may be lost: at whole
seconds, like other work of an idle process."""


class _Job(NamedTuple):
    work: Callable[[Any], Any]
    future: asyncio.Future[Any]
    synced: bool


class _Result(NamedTuple):
    future: asyncio.Future[Any]
    value: Any
    error: Exception | None


class GroupCommit(Generic[Tx]):
    """Runs work on `db` in its own thread. `begin` returns the transaction object for a connection; `wakes` exchanges
    wake-ups with the processes that share the file.

    `committed` is called on the event loop with the streams that a commit changed: after each commit of this process,
    before the work's callers resume, and, once `watch_commits` was called, after commits of other processes that touch
    its interests. `on_foreign_commit` is then called periodically, too. `run`, `watch_commits` and `close` belong to
    one event loop.
    """

    def __init__(
        self,
        db: apsw.Connection,
        begin: Callable[[apsw.Connection], Tx],
        committed: Callable[[Collection[Stream]], None],
        on_foreign_commit: Callable[[], None],
        wakes: WakeUps,
    ) -> None:
        self._db = db
        self._wakes = wakes
        self._is_woken = False
        self._synced = True
        self._begin = begin
        self._committed = committed
        self._on_foreign_commit = on_foreign_commit
        self._check_timer: asyncio.TimerHandle | None = None
        self._queue: deque[_Job] = deque()
        self._waiting: deque[_Job] = deque()
        """Work that may wait for the next transaction."""
        self._due_s = 0.0
        """When the first of it has waited long enough, on the loop's clock."""
        self._last_call: asyncio.TimerHandle | None = None
        self._wake = threading.Condition()
        self._failure: DurabilityError | None = None
        self._closing: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._following = False
        self._gil_yield = GilYield()
        self._version = db.pragma("data_version")
        self._thread = threading.Thread(target=self._serve, name="journal-writer", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[Tx], T], *, synced: bool = True, may_wait_ms: int = 0) -> T:
        """Return the result of the work once its transaction is durable; without `synced`, once it is stored so that it
        survives the end of this process, but perhaps not a loss of power. Work with `may_wait_ms` joins the next
        transaction, and gets its own only when there is none within that time.

        Raises the refusal of the work, `Overloaded` when the queue or the disk is full or another process holds the
        file, and `DurabilityError` when the commit failed, now or earlier.
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
                if not self._waiting:
                    self._due_s = self._loop.time() + may_wait_ms / 1000
                self._waiting.append(job)
            if self._last_call is None:
                self._last_call = self._loop.call_at(self._due_s, self._stop_waiting, self._loop)
            return await future
        with self._wake:
            self._queue.append(job)
            self._wake.notify()
        self._gil_yield.began()
        return await future

    def _stop_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit the jobs that wait when the time of the first is over; those that the timer was set for may have joined
        an earlier transaction."""
        self._last_call = None
        with self._wake:
            if not self._waiting:
                return
            if self._due_s > loop.time():
                self._last_call = loop.call_at(self._due_s, self._stop_waiting, loop)
            else:
                self._queue.append(self._waiting.popleft())  # the next transaction takes all waiting jobs
                self._wake.notify()

    def watch_commits(self, interests: frozenset[Interest] | None) -> None:
        """Watch from now on for commits of other processes that touch these interests (None: all)."""
        self._loop = asyncio.get_running_loop()
        if self._closing is not None:
            return
        if not self._following:
            self._is_woken = self._wakes.listen(self._receive)
            if self._is_woken:
                self._schedule_check()
            with self._wake:
                self._following = True
                self._wake.notify()
        self._wakes.want(interests)

    async def close(self) -> None:
        """Finish queued work and close the connection."""
        if self._closing is None:
            self._wakes.close()
            if self._check_timer is not None:
                self._check_timer.cancel()
            self._loop = asyncio.get_running_loop()
            with self._wake:
                self._closing = self._loop.create_future()
                self._wake.notify()
        await self._closing

    def _receive(self, streams: Collection[Stream] | None) -> None:
        if streams is None:
            self._on_foreign_commit()
        else:
            self._committed(streams)

    def _schedule_check(self) -> None:
        loop = asyncio.get_running_loop()
        self._check_timer = loop.call_at((loop.time() + CHECK_S) // CHECK_S * CHECK_S, self._check_again)

    def _check_again(self) -> None:
        self._schedule_check()
        self._on_foreign_commit()

    def _serve(self) -> None:
        pause_ms: float = _POLL_MS_MIN
        while not (self._closing is not None and not self._queue and not self._waiting):
            jobs = self._take(pause_ms)
            if self._failure is not None:
                self._answer([_Result(job.future, None, DurabilityError(str(self._failure))) for job in jobs])
                continue
            if jobs:
                self._answer(*self._commit(jobs))
            if not self._following or self._is_woken:
                continue
            if self._others_committed():
                pause_ms = _POLL_MS_MIN
                self._call(self._on_foreign_commit)
            else:
                pause_ms = min(pause_ms * 1.25, _POLL_MS_MAX)
        self._wakes.close_senders()
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
        """Return the results of jobs, and the streams that they changed."""
        try:
            self._sync(any(job.synced for job in jobs))
            self._db.execute("BEGIN IMMEDIATE")
            results, grown = self._run_all(jobs)
            self._gil_yield.release()
            self._db.execute("COMMIT")
        except _RETRIABLE as error:
            self._roll_back()
            reason = f"the journal cannot write now: {error}"
            return [_Result(job.future, None, Overloaded(reason)) for job in jobs], ()
        except Exception as error:  # noqa: BLE001 - a writer in an unknown state must stop
            self._failure = DurabilityError(f"the journal's commit failed: {error!r}")
            self._roll_back()
            return [_Result(job.future, None, DurabilityError(str(self._failure))) for job in jobs], ()
        with suppress(OSError):  # the commit is stored even if no wake-up is sent
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
                transaction = self._begin(self._db)  # the old object caches rows that were rolled back
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
        # Only commits of other connections change the number, so this process's own commits wake nobody twice.
        try:
            version = self._db.pragma("data_version")
        except apsw.Error as error:
            self._failure = DurabilityError(f"the journal cannot be read: {error!r}")
            return True
        changed = bool(version != self._version)
        self._version = version
        return changed

    def _answer(self, results: list[_Result], grown: Collection[Stream] = ()) -> None:
        self._call(self._settle, results, grown)
        self._gil_yield.release()

    def _settle(self, results: list[_Result], grown: Collection[Stream]) -> None:
        self._committed(grown)
        if not self._queue:
            self._gil_yield.ended()
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
        except RuntimeError:  # the loop is closed, so nobody waits for the result
            with self._wake:
                self._following = False
