"""A role that nobody does is told once, and so is its return; one that starts again is not missed."""

import pytest

from clarion.domain.feature_level import FEATURE_LEVEL
from clarion.domain.limits_processes import LEASE_TTL_MS_MAX, ROLE_MISSING_MS, ROLES_LOOK_MS
from clarion.ports.stage_store import AtWork
from clarion.runtime.missing_roles import ROLES, SCHEDULER, MissingRoles, absent_roles
from clarion.stores.memory.journal import MemoryJournal
from tests.contract.journals import VirtualClock

GROUPS = frozenset(ROLES) - {SCHEDULER}


class Lines:
    def __init__(self):
        self.lines = []

    def log(self, level, event, **fields):
        self.lines.append((level, event, fields["role"]))


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
async def store(clock):
    made = MemoryJournal(clock, 1)
    for group in GROUPS - {"deliver.sms"}:
        await made.acquire(group, 0, "w", LEASE_TTL_MS_MAX)
    return made


def test_the_scheduler_is_known_by_its_enrollment():
    assert absent_roles(AtWork(GROUPS, frozenset({"scheduler-1"}))) == set()
    assert absent_roles(AtWork(GROUPS, frozenset({"api-1", "schedulers"}))) == {SCHEDULER}
    assert "deliver.sms" in absent_roles(AtWork(GROUPS - {"deliver.sms"}, frozenset()))


async def test_a_role_is_missed_after_a_while_once_and_its_return_is_told(store, clock):
    telemetry, metric = Lines(), {}
    roles = MissingRoles(store, clock, telemetry, metric.__setitem__)
    await store.enroll("scheduler-1", FEATURE_LEVEL, 1_000)
    began_ms = clock.now_ms()
    await roles.look()
    assert (roles.since(), telemetry.lines) == ({}, [])
    assert metric == dict.fromkeys(ROLES, False)
    for _ in range(3):
        clock.pass_ms(ROLES_LOOK_MS)
        await store.enroll("scheduler-1", FEATURE_LEVEL, 1_000)
        await roles.look()
    assert roles.since() == {"deliver.sms": began_ms}
    assert telemetry.lines == [("warning", "role_missing", "deliver.sms")]
    assert metric["deliver.sms"] is True
    lease = await store.acquire("deliver.sms", 0, "w", LEASE_TTL_MS_MAX)
    await roles.look()
    assert (roles.since(), metric["deliver.sms"]) == ({}, False)
    assert telemetry.lines[1:] == [("info", "role_back", "deliver.sms")]
    await store.release([lease])
    await roles.look()
    clock.pass_ms(ROLE_MISSING_MS - 1)
    await store.enroll("scheduler-1", FEATURE_LEVEL, 1_000)
    await roles.look()
    assert roles.since() == {}, "it may be starting again"
