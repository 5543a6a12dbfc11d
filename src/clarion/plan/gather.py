"""Gathers what a step of planning looks at: first what waits and where that leads, then what is sent."""

from collections.abc import Iterable
from typing import Any

from clarion.journal.events import ChunkFrame
from clarion.plan.columns import Accepted
from clarion.plan.gather_sends import SendGatherer
from clarion.plan.gather_waits import WaitGatherer
from clarion.plan.merging import likely_digests
from clarion.plan.rules.need import Need
from clarion.plan.step import StepFacts
from clarion.plan.wait_facts import STARTS
from clarion.plan.work import Work
from clarion.ports.directory import Directory
from clarion.ports.expressions import Expressions
from clarion.ports.journal_cells import CapWrite
from clarion.ports.sightings import Sightings
from clarion.ports.stage_store import StageStore
from clarion.ports.state import DeliveryStates


class StepGatherer:
    """Gathers for the steps of one process."""

    def __init__(self, waits: WaitGatherer, sends: SendGatherer) -> None:
        self._waits = waits
        self._sends = sends

    async def gather(self, work: Work, partition: int, now_ms: int) -> StepFacts:
        """Return the facts for a batch of a partition at a time (Unix ms)."""
        waits, expected = await self._waits.gather(work, partition, now_ms)
        chunks = [event for _, event in work.others if isinstance(event, ChunkFrame)]
        items = [*work.items, *expected] if expected else work.items
        sends = await self._sends.gather(items, now_ms, chunks)
        return await self._start(StepFacts(waits, sends), likely_digests(work.items, sends, now_ms), now_ms)

    async def more(self, facts: StepFacts, need: Need, now_ms: int) -> StepFacts:
        """Return the facts together with what is needed."""
        starts: Any = need.of(STARTS)
        facts = await self._start(facts, [one.item for one in starts], now_ms)
        waits = await self._waits.more(facts.waits, need)
        return StepFacts(waits, await self._sends.more(facts.sends, need, now_ms))

    async def _start(self, facts: StepFacts, started: list[Accepted], now_ms: int) -> StepFacts:
        """Return the facts together with what starting workflows takes."""
        if not started:
            return facts
        waits, expected = await self._waits.look_ahead(Work([], started, []), facts.waits, now_ms)
        return StepFacts(waits, await self._sends.foresee(facts.sends, expected, now_ms))

    async def news(self) -> bool:
        """Return whether anything was cancelled since the last call: every partition has to look then."""
        return await self._waits.news()

    def keep_caps(self, writes: Iterable[CapWrite]) -> None:
        """Take over what was written of caps, so that the next step need not read it."""
        self._sends.keep_caps(writes)

    def forget_caps(self) -> None:
        """Read cap times again: others have changed some."""
        self._sends.forget_caps()


def step_gatherer(
    store: StageStore, directory: Directory, expressions: Expressions, states: DeliveryStates, sightings: Sightings
) -> StepGatherer:
    """Return what gathers for the steps of a process."""
    waits = WaitGatherer(store, directory, states, sightings, expressions)
    return StepGatherer(waits, SendGatherer(store, directory))
