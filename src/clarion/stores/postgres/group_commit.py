"""Group commit: concurrent steps of one process are committed by one call of a server function, in one transaction.

One call is under way at a time; steps that come meanwhile share the next. When a connection is lost before its answer, the server is
asked by the commit's number whether it took effect.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from clarion.domain.errors import ClarionError, DurabilityError, OutcomeUnknown, Overloaded, StoreAway
from clarion.domain.limits_postgres import (
    POSTGRES_DOUBT_S_MAX,
    POSTGRES_GROUP_BYTES_MAX,
    POSTGRES_GROUP_STEPS_MAX,
    POSTGRES_RETRIES_MAX,
)
from clarion.domain.limits_processes import (
    CANCELLATIONS_PER_READ_MAX,
    JOURNAL_QUEUE_JOBS_MAX,
    LEASE_TTL_MS_MAX,
)
from clarion.ports.clock import Clock
from clarion.ports.stage_store import Committed, StageResult
from clarion.stores.postgres.errors import INVALID, RETRIED, is_lost, unwritten, words
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.steps import (
    CALL,
    EMPTY_CAPS,
    GroupAnswer,
    GrownStream,
    Step,
    arrays,
    decode_answer,
    tenants_of,
)
from clarion.stores.postgres.tenancy import Tenants, within

LeaseTime = Callable[[], int | None]
"""The time by which leases expire, in milliseconds; None for the server's clock."""

_OUTCOME: Final = "SELECT journal.outcome($1, $2, $3)"
PARTITIONS: Final = "SELECT value FROM journal.meta WHERE name = 'partitions'"
_GIVEN_UP: Final = "CLR02"
_PAUSE_S: Final = 0.05


class _Job(NamedTuple):
    step: Step
    future: asyncio.Future[Committed]


class GroupCommit:
    """Commits steps for one process. `writer` is an id that no other writer has, `partitions` the number that it knows, `origin` names the process in its wake-ups, and `grown`
    is called with the streams that a commit changed before its callers resume."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        lease_time: LeaseTime,
        writer: bytes,
        partitions: int,
        origin: str,
        grown: Callable[[Sequence[GrownStream]], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._lease_time = lease_time
        self.writer = writer
        self.partitions = partitions
        self._ended = False
        self._origin = origin
        self._grown = grown
        self._number = 0
        self._queue: deque[_Job] = deque()
        self._waiting: deque[_Job] = deque()
        """Steps that may wait for the next transaction."""
        self._last_call: asyncio.TimerHandle | None = None
        self._running: asyncio.Task[None] | None = None
        self._in_doubt = False
        """Whether the server is being asked for the outcome of a commit: until it answers, nothing more is taken."""
        self._closed = False

    async def commit(self, result: StageResult) -> Committed:
        """Return the result of a step once it is durable. Raises its refusal, `ValueError` when the server cannot store one of
        its values, `Overloaded` when nothing was stored, and `OutcomeUnknown` when that is not known."""
        if self._closed:
            raise DurabilityError("the journal is closed")
        if self._ended:
            raise _ended()
        if self._in_doubt:
            raise _unreachable()
        if len(self._queue) + len(self._waiting) >= JOURNAL_QUEUE_JOBS_MAX:
            raise Overloaded("too many appends wait for the journal")
        loop = asyncio.get_running_loop()
        job = _Job(Step(result), loop.create_future())
        if result.may_wait_ms > 0:
            self._waiting.append(job)
            if self._last_call is None:
                self._last_call = loop.call_later(result.may_wait_ms / 1000, self._stop_waiting)
        else:
            self._queue.append(job)
            self._begin()
        return await job.future

    async def close(self) -> None:
        """Finish queued steps."""
        self._closed = True
        self._stop_waiting()
        if self._running is not None:
            await self._running

    def _stop_waiting(self) -> None:
        if self._last_call is not None:
            self._last_call.cancel()
            self._last_call = None
        if self._waiting:
            self._queue.append(self._waiting.popleft())  # the next transaction takes all waiting steps
            self._begin()

    def _begin(self) -> None:
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._settle(self._take())
        finally:
            self._running = None

    def _take(self) -> list[_Job]:
        jobs: list[_Job] = []
        size = 0
        for queue in (self._queue, self._waiting):
            while queue and len(jobs) < POSTGRES_GROUP_STEPS_MAX:
                size += queue[0].step.size
                if jobs and size > POSTGRES_GROUP_BYTES_MAX:
                    return jobs
                jobs.append(queue.popleft())
        if not self._waiting and self._last_call is not None:
            self._last_call.cancel()
            self._last_call = None
        return jobs

    async def _settle(self, jobs: list[_Job]) -> None:
        """Commit jobs and give each its result. If the server cannot store one of them, each is committed by itself."""
        try:
            answer = await self._commit([job.step for job in jobs])
        except ClarionError as error:
            _fail(jobs, error)
            return
        except Exception as error:  # noqa: BLE001 - the caller of the step gets it
            if len(jobs) > 1:
                for job in jobs:
                    await self._settle([job])
            elif isinstance(error, INVALID):
                _fail(jobs, ValueError(f"a value that PostgreSQL cannot store: {words(error)}"))
            else:
                _fail(jobs, error)
            return
        self._grown(answer.grown)
        for job, one in zip(jobs, answer.steps, strict=True):
            if job.future.done():  # its caller was cancelled
                continue
            try:
                job.future.set_result(job.step.committed(one))
            except Exception as refusal:  # noqa: BLE001 - the refusal of the step
                job.future.set_exception(refusal)

    async def _commit(self, steps: list[Step]) -> GroupAnswer:
        values, tenants = arrays(steps), tenants_of(steps)
        for attempt in range(POSTGRES_RETRIES_MAX + 1):
            answer = await self._try(tenants, values, is_last=attempt == POSTGRES_RETRIES_MAX)
            if answer is not None:
                return decode_answer(answer)
            await asyncio.sleep(_PAUSE_S * attempt)
        raise _unreachable()

    async def _try(self, tenants: Tenants, values: list[Any], *, is_last: bool) -> str | None:
        """Return the server's answer to one call, None when nothing was stored and it may be made again."""
        self._number += 1
        sent = False
        times = self._clock.now_ms(), self._lease_time()
        fixed = (*times, LEASE_TTL_MS_MAX, CANCELLATIONS_PER_READ_MAX, EMPTY_CAPS)
        try:
            async with self._database.acquire() as connection:
                sent = True
                timeline = self._database.timeline
                call = (CALL, self.writer, self._number, self._origin, *fixed, *values, timeline)
                answer: str | None = await connection.fetchval(*within(tenants, *call))
                if answer is None:
                    raise self._database.end()
                return answer
        except Exception as error:
            if sent and is_lost(error):
                return await self._outcome(error)
            is_given_up = getattr(error, "sqlstate", None) == _GIVEN_UP
            if not is_last and (isinstance(error, RETRIED) or is_given_up):
                return None
            if is_given_up:
                self._ended = True
                raise _ended() from None
            translated = unwritten(error, sent=sent)
            if translated is None:
                raise
            raise translated from None

    async def _outcome(self, lost: Exception) -> str | None:
        """Return the answer of a commit whose connection was lost, None when it did not and will not take effect. Steps that
        wait for the next commit are refused. Raises `OutcomeUnknown` when the server cannot be asked."""
        self._in_doubt = True
        _fail([*self._queue, *self._waiting], _unreachable())
        self._queue.clear()
        self._waiting.clear()
        try:
            async with asyncio.timeout(POSTGRES_DOUBT_S_MAX):
                while True:
                    try:
                        async with self._database.acquire() as connection:
                            values = self.writer, self._number, self._clock.now_ms()
                            answer: str | None = await connection.fetchval(_OUTCOME, *values)
                            found = await connection.fetchval(PARTITIONS)
                        if found != self.partitions:
                            # The writer was ended, and asking for a number began it again.
                            self._ended = True
                            raise _ended()
                        return answer
                    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                        await asyncio.sleep(_PAUSE_S)
        except TimeoutError:
            raise OutcomeUnknown(f"the outcome of a commit is not known: {words(lost)}") from None
        finally:
            self._in_doubt = False


def _unreachable() -> Overloaded:
    return StoreAway("PostgreSQL cannot be reached now for a commit", retry_after_s=5)


def _ended() -> DurabilityError:
    return DurabilityError("the number of partitions of the journal was changed: this process has to start again")


def _fail(jobs: Sequence[_Job], error: Exception) -> None:
    for job in jobs:
        if not job.future.done():
            job.future.set_exception(error)
