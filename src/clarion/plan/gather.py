"""Gathers what a step of planning looks at: first what waits and where that leads, then what is sent."""

from collections.abc import Iterable
from typing import Any

from clarion.journal.events import ChunkFrame
from clarion.plan.columns import Accepted
from clarion.plan.foresight import resuming
from clarion.plan.gather_sends import SendGatherer
from clarion.plan.gather_waits import WaitGatherer
from clarion.plan.merging import likely_digests
from clarion.plan.rules.need import Need
from clarion.plan.step import StepFacts
from clarion.plan.wait_facts import STARTS
from clarion.plan.work import Work, tenants_of
from clarion.ports.directory import Directory
from clarion.ports.expressions import Expressions
from clarion.ports.journal_cells import CapWrite
from clarion.ports.metering import together
from clarion.ports.sightings import Sightings
from clarion.ports.stage_store import Lease, StageStore
from clarion.ports.state import DeliveryStates


class StepGatherer:
    """Gathers for the steps of one process."""

    def __init__(self, waits: WaitGatherer, sends: SendGatherer) -> None:
        self._waits = waits
        self._sends = sends

    async def learn(self, leases: Iterable[Lease] = ()) -> None:
        """Learn what was cancelled, and what there is to know of the partitions of new leases. Steps made after this need not
        ask; whoever looks for frames does so side by side with it."""
        await self._waits.learn(leases)

    def is_behind(self, lease: Lease) -> bool:
        """Return whether a partition has to look at what was cancelled."""
        return self._waits.cancelled.is_behind(lease)

    async def gather(self, work: Work, lease: Lease, now_ms: int) -> StepFacts:
        """Return the facts for a batch of a partition at a time (Unix ms). What waits and what is sent are read side by side; after
        that only what the one led to beyond the other."""
        chunks = [event for _, event in work.others if isinstance(event, ChunkFrame)]
        items = [*work.items, *resuming(work)] if work.others else work.items
        ahead = self._waits.gather(work, lease, now_ms)
        if work.started or work.others or self.is_behind(lease):
            sending = self._sends.gather(items, now_ms, chunks, tenants_of(work))
            (waits, expected), sends = await together(ahead, sending)
        else:  # nothing waits, so that there is nothing to read side by side
            waits, expected = await ahead
            sends = await self._sends.gather(items, now_ms)
        facts = await self._expect(StepFacts(waits, sends), expected, now_ms)
        return await self._start(facts, likely_digests(work.items, sends, now_ms), now_ms)

    async def more(self, facts: StepFacts, need: Need, now_ms: int) -> StepFacts:
        """Return the facts together with what is needed."""
        starts: Any = need.of(STARTS)
        facts = await self._start(facts, [one.item for one in starts], now_ms)
        waits, sends = await together(self._waits.more(facts.waits, need), self._sends.more(facts.sends, need, now_ms))
        return StepFacts(waits, sends)

    async def _start(self, facts: StepFacts, started: list[Accepted], now_ms: int) -> StepFacts:
        """Return the facts together with what starting workflows takes."""
        if not started:
            return facts
        waits, expected = await self._waits.look_ahead(Work([], started, []), facts.waits, now_ms)
        return await self._expect(StepFacts(waits, facts.sends), expected, now_ms)

    async def _expect(self, facts: StepFacts, expected: list[Accepted], now_ms: int) -> StepFacts:
        """Return the facts together with what deciding about more notifications takes."""
        if not expected:
            return facts
        for tenant, name, user in facts.waits.people():
            facts.sends.users.setdefault(tenant, {}).setdefault(name, user)
        return StepFacts(facts.waits, await self._sends.foresee(facts.sends, expected, now_ms))

    def done(self, lease: Lease, caps: Iterable[CapWrite]) -> None:
        """Take over what a step committed, so that the next one need not read it."""
        self._waits.cancelled.looked(lease)
        self._sends.keep_caps(caps)

    def forget_caps(self) -> None:
        """Read cap times again: others have changed some."""
        self._sends.forget_caps()


def step_gatherer(
    store: StageStore, directory: Directory, expressions: Expressions, states: DeliveryStates, sightings: Sightings
) -> StepGatherer:
    """Return what gathers for the steps of a process."""
    waits = WaitGatherer(store, directory, states, sightings, expressions)
    return StepGatherer(waits, SendGatherer(store, directory))
