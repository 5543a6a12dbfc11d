"""Definitions changed by other processes are refreshed in the background, repeatedly, also when the store fails."""

import asyncio
from itertools import pairwise

from clarion.domain.errors import StoreUnavailable
from clarion.domain.limits_processes import REVISION_CHECK_MS, REVISION_LEARN_MS
from clarion.runtime.definition_refresh import keep_definitions_fresh
from clarion.testing.loop import run
from tests.stages.world import Notes


class RefreshCounter:
    """A directory that does not answer at first."""

    def __init__(self, stop, rounds):
        self.times = []
        self._stop, self._rounds = stop, rounds
        self.asked, self.behind = True, None

    def was_asked(self):
        return self.asked

    def when_behind(self, call):
        self.behind = call

    async def refresh(self):
        self.times.append(asyncio.get_running_loop().time())
        if len(self.times) == self._rounds:
            self._stop.set()
        if len(self.times) == 1:
            raise StoreUnavailable("busy")


def test_refreshing_continues_after_a_store_error_and_stops_on_request():
    async def scenario():
        stop, notes = asyncio.Event(), Notes()
        counter = RefreshCounter(stop, 4)
        await keep_definitions_fresh(counter, notes, stop)
        assert notes.lines == ["definitions_not_learned"]
        return counter.times

    times = run(scenario())
    assert [round(later - one, 3) for one, later in pairwise(times)] == [REVISION_LEARN_MS / 1000] * 3


def test_an_idle_process_refreshes_only_when_it_is_found_behind():
    async def scenario():
        stop = asyncio.Event()
        counter = RefreshCounter(stop, 3)
        counter.asked = False
        learning = asyncio.create_task(keep_definitions_fresh(counter, Notes(), stop))
        await asyncio.sleep(10)
        assert len(counter.times) == 1
        counter.behind()
        await asyncio.sleep(10)
        assert len(counter.times) == 2
        stop.set()
        await learning

    run(scenario())


def test_refreshes_are_more_frequent_than_revision_checks():
    assert REVISION_LEARN_MS < REVISION_CHECK_MS


def test_a_stop_during_the_refresh_of_an_idle_process_ends_it():
    async def scenario():
        stop = asyncio.Event()
        counter = RefreshCounter(stop, 2)
        counter.asked = False

        async def refresh():
            stop.set()
            await asyncio.sleep(0.01)  # what the stop wakes has run before the refresh ends

        counter.refresh = refresh
        async with asyncio.timeout(10):
            await keep_definitions_fresh(counter, Notes(), stop)

    run(scenario())
