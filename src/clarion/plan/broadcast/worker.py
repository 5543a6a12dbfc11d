"""The broadcast loop: one page per turn, tenants in round robin, the cursor moved in the same commit as the page's
chunks."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.errors import StaleLease
from clarion.journal.events import BroadcastJob
from clarion.journal.topics import CURSORS, group_deliver
from clarion.plan.broadcast.facts import PageFacts
from clarion.plan.broadcast.gather_pages import PageGatherer
from clarion.plan.broadcast.pages import PlannedPage, plan_page
from clarion.plan.rules.fairness import DeficitRoundRobin
from clarion.ports.clock import Clock
from clarion.ports.stage_store import (
    Broadcasts,
    Cursor,
    CursorMove,
    Lease,
    PlanState,
    StageResult,
    StageStore,
    StaleCaps,
    StaleCursor,
)
from clarion.ports.streams import Streams
from clarion.ports.telemetry import Telemetry
from clarion.runtime.append_retry import commit_with_retry
from clarion.runtime.consumer import LeasedPartitions
from clarion.runtime.metering import together
from clarion.runtime.store_wait import UNANSWERED, StoreWait
from clarion.runtime.watch import woken_by

IDLE_WAIT_MS = 30_000
"""How long an idle loop waits for a wake-up before it polls."""
BLOCKED_WAIT_MS = 250
"""How long a loop waits when all its broadcasts are as far ahead of sending as allowed."""
TURN_DELIVERIES = 5_000
"""Credit of one round-robin turn."""

_JOB = msgspec.msgpack.Decoder(BroadcastJob)


class _Running(NamedTuple):
    cursor: Cursor
    job: BroadcastJob


class BroadcastWorker:
    """Advances the running broadcasts of the partitions its leases hold."""

    def __init__(
        self,
        streams: Streams,
        store: StageStore,
        pages: PageGatherer,
        leases: LeasedPartitions,
        clock: Clock,
        telemetry: Telemetry,
        *,
        backlog_max: int,
    ) -> None:
        self._streams = streams
        self._store = store
        self._pages = pages
        self._leases = leases
        self._clock = clock
        self._telemetry = telemetry
        self._turns = DeficitRoundRobin(TURN_DELIVERIES)
        self._backlog_max = backlog_max
        # Starts its thread with the first page that renders in-app content.
        self._renders = ThreadPoolExecutor(1, thread_name_prefix="page")
        self._groups: frozenset[str] = frozenset()
        """Deliver groups of the channels that running broadcasts used at the last look-up."""
        self._is_blocked = False
        """Whether a broadcast was running at the last look-up but could not continue."""
        self._begins_ms: int | None = None
        """When the next scheduled broadcast begins, as of the last look-up."""

    async def run(self, stop: asyncio.Event) -> None:
        """Plan pages until `stop` is set."""
        watch = self._streams.watch([CURSORS])
        self._leases.on_change = watch.wake
        waits = StoreWait(self._telemetry, "broadcast")
        async with woken_by(stop, watch.wake):
            while not stop.is_set():
                try:
                    planned = await self.turn()
                except UNANSWERED as error:
                    await waits.pause(error, stop)
                    continue
                waits.answered()
                if planned:
                    await asyncio.sleep(0)  # let single notifications run between two pages
                else:
                    await watch.wait(self._idle_ms())

    def _idle_ms(self) -> int:
        """Return how long to wait for a wake-up, at most until the next broadcast begins."""
        if self._is_blocked:
            return BLOCKED_WAIT_MS
        if self._begins_ms is None:
            return IDLE_WAIT_MS
        return min(max(self._begins_ms - self._clock.now_ms(), 0), IDLE_WAIT_MS)

    async def turn(self) -> bool:
        """Plan one page of the tenant whose turn it is. Return False when there is nothing to do."""
        found = await self._telemetry.cpu_of("plan", self._next(self._clock.now_ms()))
        if found is None:
            return False
        lease, cursor, page = found
        move = CursorMove(
            lease, cursor.cursor_id, cursor.position, page.position, page.planned, page.skipped, page.users, page.done
        )
        planned = StageResult(
            lease=lease,
            frames=page.frames,
            timers=page.timers,
            plan_state=PlanState(caps=page.caps),
            broadcasts=Broadcasts(moves=[move]),
        )
        try:
            await commit_with_retry(self._store, planned, self._telemetry)
        except StaleCaps:
            self._pages.forget_caps()  # the page is planned again, with current cap times
            return True
        except (StaleCursor, StaleLease):
            return True
        self._pages.keep_caps(page.caps)
        self._count(cursor.tenant, page)
        return True

    async def _next(self, now_ms: int) -> tuple[Lease, Cursor, PlannedPage] | None:
        """Return the next page of the tenant whose turn it is, with its lease and cursor; None when there is nothing to
        do."""
        held = self._leases.held()
        self._is_blocked = False
        if not held:
            self._turns.sync(())
            return None
        # Backlogs are read concurrently, for the channels of the last turn: usually the same ones are needed again.
        asked = self._groups
        cursors, backlogs = await together(self._store.cursors_in(held, "running"), self._backlogs(asked))
        running = self._running(cursors, now_ms)
        self._turns.sync(running)
        tenant = self._turns.next(await self._able(running, backlogs, asked))
        self._is_blocked = bool(running)
        if tenant is None:
            return None
        cursor, job = running[tenant]
        lease = held.get(cursor.partition)
        if lease is None:
            return None
        facts = await self._pages.gather(cursor, job, now_ms)
        return lease, cursor, await self._planned(facts, cursor, job, now_ms)

    async def _planned(self, facts: PageFacts, cursor: Cursor, job: BroadcastJob, now_ms: int) -> PlannedPage:
        """Return the plan of a page. If contents are rendered for it, up to one per user, the planning runs in a
        thread: it may take long."""

        def plan() -> PlannedPage:
            return plan_page(facts, cursor, job, self._pages.contents, self._store.partitions, now_ms)

        def timed() -> PlannedPage:
            with self._telemetry.cpu("plan"):
                return plan()

        if Channel.INAPP in facts.codes and Channel.INAPP in facts.request_facts.template.parts:
            return await asyncio.get_running_loop().run_in_executor(self._renders, timed)
        return plan()

    def _count(self, tenant: str, page: PlannedPage) -> None:
        self._turns.pay(tenant, page.cost)
        for (channel, decision), number in page.counts.items():
            self._telemetry.count("planned", number, channel=channel, decision=decision)

    def _running(self, cursors: Sequence[Cursor], now_ms: int) -> dict[str, _Running]:
        """Return the oldest running broadcast of each tenant that is due."""
        oldest: dict[str, _Running] = {}
        self._begins_ms = None
        for cursor in cursors:
            if cursor.tenant not in oldest:
                job = _JOB.decode(cursor.payload)
                at_ms = job.request.send_at_ms or 0
                if at_ms <= now_ms:
                    oldest[cursor.tenant] = _Running(cursor, job)
                else:
                    self._begins_ms = at_ms if self._begins_ms is None else min(at_ms, self._begins_ms)
        return oldest

    async def _able(
        self, running: Mapping[str, _Running], backlogs: Mapping[str, int], asked: frozenset[str]
    ) -> set[str]:
        """Return the tenants whose broadcast has no channel whose backlog exceeds the bound."""
        channels = await self._pages.channels({tenant: job for tenant, (_, job) in running.items()})
        groups = {group_deliver(channel): channel for wanted in channels.values() for channel in wanted}
        self._groups = frozenset(groups)
        if missing_facts := self._groups - asked:
            backlogs = {**backlogs, **await self._backlogs(missing_facts)}
        full = {groups[group] for group, events in backlogs.items() if events > self._backlog_max and group in groups}
        return {tenant for tenant, wanted in channels.items() if full.isdisjoint(wanted)}

    async def _backlogs(self, groups: frozenset[str]) -> dict[str, int]:
        return await self._store.backlog_of(groups) if groups else {}
