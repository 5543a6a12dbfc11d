"""Seeded journeys during which the whole installation dies, and starts again with another number of partitions."""

import asyncio

import pytest

from clarion.deliver import worker as pool_worker
from clarion.domain.ids import SLOTS
from clarion.journal.topics import OUTCOMES
from clarion.plan.placement import Regrouping
from tests.simulation.processes import TTL_MS, Process
from tests.simulation.test_journey import Journey, check
from tests.stages.virtual import run

SEEDS = 60


class RegroupedJourney(Journey):
    """A journey whose disturbances are changes of the number of partitions, too."""

    changes = 0

    async def disturb(self, workers: list[Process]) -> None:
        await super().disturb(workers)
        if self.chance.random() < 0.5:
            return
        for worker in workers:
            await worker.kill()
        await asyncio.sleep(2 * TTL_MS / 1000)
        journal = self.world.journal
        self.world.ledger.fold()
        streams = [(OUTCOMES, partition) for partition in range(journal.partitions)]
        recorded = {partition: head for (_, partition), head in (await journal.heads_of(streams)).items()}
        await journal.regroup(Regrouping(journal.partitions, self.chance.choice([1, 2, 4, 8])), recorded)
        self.changes += 1
        workers[:] = [self.start(0), self.start(1)]


@pytest.mark.slow
@pytest.mark.nightly
def test_every_delivery_ends_once_whatever_the_number_of_partitions(directory, monkeypatch):
    monkeypatch.setattr(pool_worker, "CHECK_MS", 100)
    changes = 0
    for seed in range(SEEDS):
        journey = RegroupedJourney(directory, seed)
        try:
            run(journey.run())
            journey.world.journal.partitions = SLOTS  # to read the streams of every number
            check(journey)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
        changes += journey.changes
    assert changes > 2 * SEEDS
