"""Makes the calls of fetch steps concurrently with planning and writes their answers to the journal."""

import asyncio
from collections.abc import Sequence

import msgspec

from clarion.domain.errors import DurabilityError, EgressError
from clarion.domain.limits_processes import FETCHES_UNDER_WAY_MAX, FETCHES_WAITING_MAX
from clarion.plan.rules.workflow.state import FetchAnswered
from clarion.plan.workflow.fetch_calls import FetchJob, answer_of, with_secrets
from clarion.plan.workflow.instance import AdvanceRow, advance_frames
from clarion.plan.workflow.worker_secrets import HeaderSecrets
from clarion.ports.clock import Clock
from clarion.ports.egress import HttpEgress
from clarion.ports.secret_stores import Secrets, SecretUnavailable
from clarion.ports.secrets import Vault
from clarion.ports.stage_store import StageResult, StageStore
from clarion.ports.telemetry import Telemetry
from clarion.runtime.append_retry import commit_with_retry


class FetchPool:
    """Runs up to `FETCHES_UNDER_WAY_MAX` calls at a time. A call that is lost with this process is made again when the
    instance's timer fires without an answer."""

    def __init__(
        self,
        store: StageStore,
        egress: HttpEgress,
        clock: Clock,
        telemetry: Telemetry,
        secrets: Secrets | None = None,
        vault: Vault | None = None,
    ) -> None:
        self._store = store
        self._egress = egress
        self._clock = clock
        self._telemetry = telemetry
        self._secrets = HeaderSecrets(vault, secrets)
        self._places = asyncio.Semaphore(FETCHES_UNDER_WAY_MAX)
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, jobs: Sequence[FetchJob]) -> None:
        """Make these calls as slots become free. Jobs over `FETCHES_WAITING_MAX` are left to their instances'
        timers."""
        room = max(FETCHES_WAITING_MAX - len(self._running), 0)
        if len(jobs) > room:
            self._telemetry.log("warning", "fetches_deferred", number=len(jobs) - room)
        for job in jobs[:room]:
            task = asyncio.create_task(self._run(job))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def idle(self) -> None:
        """Wait until every call has ended and its answer is on the journal."""
        while self._running:
            await asyncio.wait(self._running)
            await asyncio.sleep(0)  # a task leaves the set in the next turn of the loop

    async def close(self) -> None:
        """Stop all calls; the later holders of their partitions make them again."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, job: FetchJob) -> None:
        async with self._places:
            if self._clock.now_ms() >= job.deadline_ms:
                return  # its timer has fired, and another call replaces it
            answer = await self._answer(job)
        row = AdvanceRow(
            job.instance_id, job.tenant, "fetched", job.seq, self._clock.now_ms(), msgspec.msgpack.encode(answer)
        )
        try:
            answered = StageResult(frames=advance_frames(job.lane, job.partition, [row]))
            await commit_with_retry(self._store, answered, self._telemetry)
        except DurabilityError as error:
            # The journal fails for all callers now; other code stops the process for it.
            self._telemetry.log("error", "fetch_answer_lost", detail=str(error))

    async def _answer(self, job: FetchJob) -> FetchAnswered:
        try:
            secrets = await self._secrets.values(job)
            return answer_of(await self._egress.send(with_secrets(job, secrets)), secrets)
        except SecretUnavailable as error:
            return FetchAnswered(error=str(error))
        except EgressError as error:
            return FetchAnswered(error=error.detail)
        except Exception as error:  # noqa: BLE001 - any error that a response causes is reported to the step at once
            self._telemetry.log("error", "fetch_crashed", tenant=job.tenant, error=type(error).__name__)
            return FetchAnswered(error=f"internal error: {type(error).__name__}")
