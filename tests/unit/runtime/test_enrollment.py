"""A process says up to which feature level it reads, again and again, and ends when a newer build has written what it cannot read."""

import asyncio

import pytest

from clarion.domain.errors import OperatorError, StoreUnavailable
from clarion.domain.feature_level import FEATURE_LEVEL
from clarion.runtime import enrollment as module
from clarion.runtime.enrollment import Enrollment
from clarion.stores.memory.journal import MemoryJournal
from tests.contract.journals import VirtualClock
from tests.stages.world import Notes

TTL_MS = 1_000


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(module, "ENROLLMENT_MS", 1)


@pytest.fixture
def store():
    return MemoryJournal(VirtualClock(), 1)


async def test_it_renews_until_it_is_stopped_and_withdraws(store, monkeypatch):
    enrolled, withdrawn, stop = [], [], asyncio.Event()

    async def enroll(process, level, _ttl_ms):
        enrolled.append((process, level))
        if len(enrolled) == 2:
            raise StoreUnavailable("away")
        if len(enrolled) == 4:
            stop.set()
        return level

    async def withdraw(process):
        withdrawn.append(process)

    monkeypatch.setattr(store, "enroll", enroll)
    monkeypatch.setattr(store, "withdraw", withdraw)
    enrollment = Enrollment(store, "worker-0-a", Notes())
    await enrollment.begin()
    async with asyncio.timeout(10):
        await enrollment.keep(stop)
    assert (enrolled, withdrawn) == ([("worker-0-a", FEATURE_LEVEL)] * 4, ["worker-0-a"])


async def test_a_level_above_that_of_the_build_ends_the_process(store):
    enrollment = Enrollment(store, "worker-0-a", Notes())
    await enrollment.begin()
    await store.withdraw("worker-0-a")
    await store.enroll("worker-0-b", FEATURE_LEVEL + 1, TTL_MS)
    with pytest.raises(OperatorError, match="newer build"):
        async with asyncio.timeout(10):
            await enrollment.keep(asyncio.Event())


async def test_a_level_that_rises_is_logged(store, monkeypatch):
    notes = Notes()
    monkeypatch.setattr(module, "FEATURE_LEVEL", FEATURE_LEVEL + 1)
    await Enrollment(store, "worker-0-a", notes).begin()
    assert notes.lines == ["feature_level_raised"]
