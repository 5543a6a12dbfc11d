"""Uses of keys are noted by requests and stored in batches, seldom and whole."""

import pytest

from clarion.domain.errors import Overloaded
from clarion.domain.limits_processes import KEY_EXPIRY_CHECK_MS, KEY_USE_EVERY_MS
from clarion.domain.security_events import SecurityEvent
from clarion.identity import key_uses as module
from clarion.identity.callers import caller_of_key
from clarion.identity.key_uses import KeyUses
from tests.contract.controls import ControlPlane

T = "acme"
DAY_MS = 24 * 3600 * 1000


class CallCounter:
    """A key store that counts its writes and can fail."""

    def __init__(self, keys):
        self._keys = keys
        self.batches = []
        self.fails = False

    def __getattr__(self, name):
        return getattr(self._keys, name)

    async def record_uses(self, uses):
        if self.fails:
            raise Overloaded("busy")
        self.batches.append(len(uses))
        return await self._keys.record_uses(uses)


@pytest.fixture
async def world(tmp_path):
    plane = ControlPlane(tmp_path, backend="memory")
    plane.keys = CallCounter(plane.control.keys)
    plane.uses = KeyUses(plane.keys, plane.clock, plane.notes)
    yield plane
    await plane.close()


async def caller_of(world, **values):
    record, secret = await world.keys.create(T, "ci", ["*"], **values)
    return caller_of_key(await world.directory.api_key(secret, world.clock.now_ms())), record.key_id


def note(world, caller, *hosts):
    for host in hosts:
        world.uses.note(caller, host, world.clock.now_ms())


async def test_a_key_is_stored_at_once_and_then_once_a_minute(world):
    caller, key_id = await caller_of(world)
    first_ms = world.clock.now_ms()
    note(world, caller, "192.0.2.1", "192.0.2.2", "2001:db8::1")
    await world.uses.store()
    assert world.keys.batches == [2], "by network"
    for _ in range(5):
        world.clock.wall_ms += 10_000
        note(world, caller, "192.0.2.1", "198.51.100.1")
        await world.uses.store()
    assert world.keys.batches == [2]
    assert (await world.keys.get(T, key_id)).last_used_ms == first_ms
    world.clock.wall_ms = first_ms + KEY_USE_EVERY_MS
    await world.uses.store()
    stored = await world.keys.get(T, key_id)
    assert (world.keys.batches, stored.last_used_ms) == ([2, 2], first_ms + 50_000)
    await world.uses.store()
    assert len(world.keys.batches) == 2, "nothing is left"


async def test_a_new_network_is_recorded_once(world):
    caller, key_id = await caller_of(world)
    for host in ("192.0.2.1", "192.0.2.99", "::ffff:192.0.2.7", "198.51.100.1", "192.0.2.1", ""):
        note(world, caller, host)
        await world.uses.store(everything=True)
    fields = [{"tenant": T, "key_id": key_id, "peer": network} for network in ("192.0.2.0/24", "198.51.100.0/24")]
    assert world.notes.events == [(SecurityEvent.KEY_FROM_NEW_NETWORK, one) for one in fields]


async def test_what_could_not_be_stored_is_stored_later(world):
    caller, key_id = await caller_of(world)
    note(world, caller, "192.0.2.1")
    world.keys.fails = True
    with pytest.raises(Overloaded):
        await world.uses.store()
    world.keys.fails = False
    await world.uses.store()
    assert (await world.keys.get(T, key_id)).last_used_from == "192.0.2.0/24"


async def test_what_is_noted_is_bounded(world, monkeypatch):
    monkeypatch.setattr(module, "KEY_USES_NOTED_MAX", 2)
    caller, _ = await caller_of(world)
    note(world, caller, *(f"10.{n}.0.1" for n in range(5)), "10.0.0.1")
    assert len(world.uses._noted) == 2


async def test_a_key_that_expires_soon_is_reported_once_a_day(world):
    await caller_of(world, expires_ms=world.clock.now_ms() + 9 * DAY_MS)
    days = []
    for hour in range(24 * 10):
        await world.uses._warn()
        days += [hour // 24 for event, _ in world.notes.events if event is SecurityEvent.KEY_EXPIRES_SOON]
        world.notes.events.clear()
        world.clock.wall_ms += KEY_EXPIRY_CHECK_MS
    assert days == [2, 3, 4, 5, 6, 7, 8]
