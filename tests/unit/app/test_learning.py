"""Definitions that were changed elsewhere are learned beside a process's work, over and over, whatever the store says."""

import asyncio
from itertools import pairwise

from clarion.app.learning import keep_learning
from clarion.domain.errors import StoreUnavailable
from clarion.domain.limits import REVISION_CHECK_MS, REVISION_LEARN_MS
from clarion.testing.loop import run
from tests.stages.world import Notes


class Learner:
    """A directory that does not answer at first."""

    def __init__(self, stop, rounds):
        self.times = []
        self._stop, self._rounds = stop, rounds
        self.asked, self.behind = True, None

    def was_asked(self):
        return self.asked

    def when_behind(self, call):
        self.behind = call

    async def learn(self):
        self.times.append(asyncio.get_running_loop().time())
        if len(self.times) == self._rounds:
            self._stop.set()
        if len(self.times) == 1:
            raise StoreUnavailable("busy")


def test_it_goes_on_after_a_store_that_did_not_answer_and_stops_when_told():
    async def story():
        stop, notes = asyncio.Event(), Notes()
        learner = Learner(stop, 4)
        await keep_learning(learner, notes, stop)
        assert notes.lines == ["definitions_not_learned"]
        return learner.times

    times = run(story())
    assert [round(later - one, 3) for one, later in pairwise(times)] == [REVISION_LEARN_MS / 1000] * 3


def test_who_asks_nothing_learns_nothing_until_somebody_finds_it_behind():
    async def story():
        stop = asyncio.Event()
        learner = Learner(stop, 3)
        learner.asked = False
        learning = asyncio.create_task(keep_learning(learner, Notes(), stop))
        await asyncio.sleep(10)
        assert len(learner.times) == 1
        learner.behind()
        await asyncio.sleep(10)
        assert len(learner.times) == 2
        stop.set()
        await learning

    run(story())


def test_what_is_learned_in_time_is_never_looked_for():
    assert REVISION_LEARN_MS < REVISION_CHECK_MS
