"""Who is connected is recorded, and users with several connections are told."""

import asyncio

import pytest

from clarion.domain.errors import Overloaded
from clarion.gateway import presence
from clarion.gateway.hub import Hub
from clarion.gateway.presence import PresenceKeeper
from clarion.ports.presence import Connected
from clarion.runtime.clock import SystemClock
from clarion.stores.memory.presence import MemoryPresence
from tests.stages.world import Notes
from tests.unit.gateway.log import ADA, BEN, Log
from tests.unit.gateway.test_hub import Page


class Store(MemoryPresence):
    """A store that fails on request."""

    fails = 0

    async def record(self, gateway, changes):
        if self.fails:
            self.fails -= 1
            raise Overloaded("away")
        await super().record(gateway, changes)


@pytest.fixture
async def world(monkeypatch):
    monkeypatch.setattr(presence, "PRESENCE_ROUND_MS", 0)
    monkeypatch.setattr(presence, "_RETRY_S", 0)
    monkeypatch.setattr("clarion.gateway.hub.ROUND_MS", 0)
    store, notes = Store(SystemClock()), Notes()
    hub = Hub(Log(), notes)
    keeper = PresenceKeeper(store, "here", hub, notes)
    tasks = [asyncio.create_task(job) for job in (hub.run(), keeper.run())]
    yield store, hub, keeper
    for task in tasks:
        task.cancel()


async def settled():
    for _ in range(60):
        await asyncio.sleep(0)


def told(page):
    return [frame["connections"] for frame in page.frames if frame["type"] == "presence"]


async def joined(hub, *pages):
    for page in pages:
        hub.join(page, None)
    await settled()


async def test_who_connects_and_leaves_is_recorded(world):
    store, hub, _ = world
    one, other, ben = Page(), Page(), Page(BEN)
    await joined(hub, one, other, ben)
    assert await store.present([ADA, BEN]) == {ADA: 2, BEN: 1}
    hub.leave(one)
    hub.leave(ben)
    await settled()
    assert await store.present([ADA, BEN]) == {ADA: 1}
    hub.leave(other)
    await settled()
    assert await store.gateways() == 0


async def test_one_alone_is_told_nothing(world):
    _, hub, _ = world
    page = Page()
    await joined(hub, page)
    assert told(page) == []


async def test_several_are_told_how_many_they_are_and_when_that_changes(world):
    _, hub, _ = world
    one, other, third = Page(), Page(), Page()
    await joined(hub, one)
    await joined(hub, other)
    assert (told(one), told(other)) == ([2], [2])
    hub.leave(one)
    await joined(hub, third)
    assert (told(other), told(third)) == ([2], [2])  # one for another
    hub.leave(third)
    await settled()
    assert told(other) == [2, 1]


async def test_connections_at_another_gateway_count(world, monkeypatch):
    store, hub, keeper = world
    await store.renew("there", 60_000)
    await store.record("there", [Connected(*ADA, 2)])
    page = Page()
    await joined(hub, page)
    assert told(page) == [3]
    await store.withdraw("there")
    keeper._renew_s = 0
    keeper._awake.set()
    await settled()
    assert told(page) == [3, 1]


async def test_what_the_store_forgot_is_recorded_again(world):
    store, hub, keeper = world
    await joined(hub, Page(), Page(BEN))
    await store.withdraw("here")
    keeper._renew_s = 0
    keeper._awake.set()
    await settled()
    assert await store.present([ADA, BEN]) == {ADA: 1, BEN: 1}


async def test_what_could_not_be_recorded_is_tried_again(world):
    store, hub, _ = world
    store.fails = 2
    await joined(hub, Page())
    await settled()
    assert await store.present([ADA]) == {ADA: 1}


async def test_a_gateway_that_stops_takes_its_users_along(world):
    store, hub, keeper = world
    await joined(hub, Page())
    await keeper.close()
    assert (await store.present([ADA]), await store.gateways()) == ({}, 0)
