"""Users who are connected hurry recording; nothing is read while nobody is."""

import asyncio
import time

import pytest

from clarion.domain.errors import Overloaded
from clarion.ports.presence import Connected
from clarion.runtime.clock import SystemClock
from clarion.runtime.onlookers import Onlookers
from clarion.stores.memory.presence import MemoryPresence

ADA, BEN = ("acme", "ada"), ("acme", "ben")


class Counting(MemoryPresence):
    """Presence that counts reads, and fails on request."""

    def __init__(self):
        super().__init__(SystemClock())
        self.looks = self.reads = 0
        self.fails = False

    async def gateways(self):
        self.looks += 1
        if self.fails:
            raise Overloaded("away")
        return await super().gateways()

    async def present(self, users):
        self.reads += 1
        return await super().present(users)


@pytest.fixture
def presence():
    return Counting()


async def test_a_user_who_is_connected_is_known(presence):
    await presence.renew("one", 60_000)
    await presence.record("one", [Connected(*ADA, 1)])
    onlookers = Onlookers(presence, SystemClock())
    assert await onlookers.include({ADA, BEN})
    assert not await onlookers.include({BEN})
    assert not await onlookers.include(set())
    assert presence.looks == 1


async def test_while_nobody_is_connected_users_are_not_looked_for(presence):
    onlookers = Onlookers(presence, SystemClock())
    for _ in range(3):
        assert not await onlookers.include({ADA})
    assert (presence.looks, presence.reads) == (1, 0)


async def test_without_an_answer_nobody_hurries(presence):
    presence.fails = True
    assert not await Onlookers(presence, SystemClock()).include({ADA})


async def test_a_pause_ends_when_someone_hurries(presence):
    onlookers = Onlookers(presence, SystemClock())
    pausing = asyncio.create_task(onlookers.pause(60_000))
    await asyncio.sleep(0)
    onlookers.hurry()
    await asyncio.wait_for(pausing, 5)
    onlookers.hurry()  # before the pause begins
    await asyncio.wait_for(onlookers.pause(60_000, 1), 5)
    began_s = time.monotonic()
    await onlookers.pause(20, -5)  # nobody hurries any more
    assert time.monotonic() - began_s >= 0.015
