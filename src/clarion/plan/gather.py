"""Gathers the facts of a planning step: for waiting work and the work it causes, then for sends."""

from collections.abc import Iterable
from typing import Any

from clarion.journal.events import ChunkFrame
from clarion.plan.cap_digests import likely_digests
from clarion.plan.columns import PlanItem
from clarion.plan.gather_sends import SendGatherer
from clarion.plan.gather_waits import WaitGatherer
from clarion.plan.prefetch import resuming
from clarion.plan.rules.need import Need
from clarion.plan.step import StepFacts
from clarion.plan.wait_facts import STARTS
from clarion.plan.work import Work, tenants_of
from clarion.ports.directory import Directory
from clarion.ports.expressions import Expressions
from clarion.ports.journal_cells import CapWrite
from clarion.ports.seen_receipts import SeenReceipts
from clarion.ports.stage_store import Lease, StageStore
from clarion.ports.state import DeliveryStates
from clarion.runtime.metering import together


class StepGatherer:
    """Gathers for the steps of one process."""

    def __init__(self, waits: WaitGatherer, sends: SendGatherer) -> None:
        self._waits = waits
        self._sends = sends

    async def refresh(self, leases: Iterable[Lease] = ()) -> None:
        """Read new cancellations, and the state of the partitions of new leases. Later steps need not read them; the
        caller reads frames concurrently."""
        await self._waits.refresh(leases)

    def needs_cancellations(self, lease: Lease) -> bool:
        """Return whether a partition has unread cancellations."""
        return self._waits.cancelled.needs_cancellations(lease)

    async def gather(self, work: Work, lease: Lease, now_ms: int) -> StepFacts:
        """Return the facts for a batch of a partition at a time (Unix ms). The facts of waiting work and of sends are
        read concurrently; after that only facts for sends that the waiting work leads to."""
        chunks = [event for _, event in work.others if isinstance(event, ChunkFrame)]
        items = [*work.items, *resuming(work)] if work.others else work.items
        ahead = self._waits.gather(work, lease, now_ms)
        if work.started or work.others or self.needs_cancellations(lease):
            sending = self._sends.gather(items, now_ms, chunks, tenants_of(work))
            (waits, expected), sends = await together(ahead, sending)
        else:  # nothing waits, so there is nothing to read concurrently
            waits, expected = await ahead
            sends = await self._sends.gather(items, now_ms)
        facts = await self._prefetch_sends(StepFacts(waits, sends), expected, now_ms)
        return await self._start(facts, likely_digests(work.items, sends, now_ms), now_ms)

    async def more(self, facts: StepFacts, need: Need, now_ms: int) -> StepFacts:
        """Return the facts extended by the needed ones."""
        starts: Any = need.of(STARTS)
        facts = await self._start(facts, [one.item for one in starts], now_ms)
        waits, sends = await together(self._waits.more(facts.waits, need), self._sends.more(facts.sends, need, now_ms))
        return StepFacts(waits, sends)

    async def _start(self, facts: StepFacts, started: list[PlanItem], now_ms: int) -> StepFacts:
        """Return the facts extended by those for starting workflows."""
        if not started:
            return facts
        waits, expected = await self._waits.look_ahead(Work([], started, []), facts.waits, now_ms)
        return await self._prefetch_sends(StepFacts(waits, facts.sends), expected, now_ms)

    async def _prefetch_sends(self, facts: StepFacts, expected: list[PlanItem], now_ms: int) -> StepFacts:
        """Return the facts extended by those for deciding about more notifications."""
        if not expected:
            return facts
        for tenant, name, user in facts.waits.people():
            facts.sends.users.setdefault(tenant, {}).setdefault(name, user)
        return StepFacts(facts.waits, await self._sends.prefetch(facts.sends, expected, now_ms))

    def advance(self, lease: Lease, caps: Iterable[CapWrite]) -> None:
        """Update the caches with a committed step, so that the next one need not read it."""
        self._waits.cancelled.mark_read(lease)
        self._sends.keep_caps(caps)

    def forget_caps(self) -> None:
        """Drop the cached cap times: other processes have changed some."""
        self._sends.forget_caps()


def step_gatherer(
    store: StageStore,
    directory: Directory,
    expressions: Expressions,
    states: DeliveryStates,
    seen_receipts: SeenReceipts,
) -> StepGatherer:
    """Return the gatherer for the steps of a process."""
    waits = WaitGatherer(store, directory, states, seen_receipts, expressions)
    return StepGatherer(waits, SendGatherer(store, directory))
