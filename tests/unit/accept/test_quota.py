"""The gate of quotas over a real control store: who is charged what, what is said of it, and how rarely it asks."""

import pytest

from clarion.accept.worker_quota import QuotaGate
from clarion.backends.memory.quotas import MemoryQuotas
from clarion.domain import limits_deciding as limits
from clarion.domain.errors import QuotaExceeded, QuotaStanding, TooLarge
from clarion.domain.quota import TENANT, Quota
from clarion.ports.web import Caller
from tests.contract.controls import House, migrated
from tests.stages.world import Notes

DAY_MS = 24 * 3600 * 1000
MORNING_MS = 20_000 * DAY_MS + 3600 * 1000


class Shared(MemoryQuotas):
    """The store of all processes, with its changes counted."""

    changes = 0

    async def swap(self, groups):
        self.changes += 1
        return await super().swap(groups)


class Process:
    """One API process of an installation."""

    def __init__(self, house, store):
        self.notes = Notes()
        self.directory = house.directory
        self.gate = QuotaGate(store, house.clock, self.notes)

    async def charge(self, caller, events):
        return await self.gate.charge(caller, await self.directory.quotas(caller.tenant), events)

    async def audience_max(self, caller):
        return self.gate.audience_max(caller, await self.directory.quotas(caller.tenant))

    async def through(self, caller, *costs):
        """The costs that are let through."""
        refusals = await self.gate.charge_each(caller, await self.directory.quotas(caller.tenant), costs)
        return [cost for cost, refusal in zip(costs, refusals, strict=True) if refusal is None]

    async def refused(self, caller, events, error=QuotaExceeded):
        with pytest.raises(error) as refusal:
            await self.charge(caller, events)
        return refusal.value


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture
async def house(empty, tmp_path):
    house = House.copy_of(empty, tmp_path)
    house.clock.wall_ms = MORNING_MS
    await house.control.tenants.put("acme", "Acme")
    yield house
    await house.close()


@pytest.fixture
def store():
    return Shared()


@pytest.fixture
def process(house, store):
    return Process(house, store)


async def key_with(house, quota=None, tenant="acme"):
    """The caller of a new key."""
    record, _ = await house.control.keys.create(tenant, "", ["*"])
    if quota is not None:
        await house.control.quotas.put(tenant, record.key_id, quota)
        house.settle()
    return Caller(tenant, record.key_id, frozenset({"*"}))


async def tenant_has(house, **figures):
    await house.control.quotas.put("acme", TENANT, Quota(**figures))
    house.settle()


async def test_without_a_quota_nothing_is_counted_or_said(house, store, process):
    caller = await key_with(house)
    assert await process.charge(caller, 10_000) is None
    assert await process.audience_max(caller) is None
    assert store.changes == 0


async def test_a_burst_goes_through_at_once_and_the_rate_after_it(house, process):
    caller = await key_with(house, Quota(rate_per_s=10, burst=30))
    assert sum(await process.through(caller, *[1] * 100)) == 30
    refusal = await process.refused(caller, 5)
    assert (refusal.code, refusal.retry_after_s, refusal.status) == ("quota_exceeded", 1, 429)
    assert refusal.detail == ("the quota of this key is 10 a second, 30 at once: there is room for 0 now, not for 5")
    assert refusal.standing == QuotaStanding(limit=30, remaining=0, reset_s=3)
    house.clock.wall_ms += 1_000
    assert sum(await process.through(caller, *[1] * 100)) == 10


async def test_a_rate_without_a_burst_is_one_second_at_once(house, process):
    caller = await key_with(house, Quota(rate_per_s=7))
    assert sum(await process.through(caller, *[1] * 100)) == 7


async def test_items_are_taken_in_their_order_as_long_as_they_fit(house, process):
    caller = await key_with(house, Quota(rate_per_s=1, burst=10))
    assert await process.through(caller, 4, 4, 4, 2, 1) == [4, 4, 2]


async def test_the_answer_says_how_it_stands_after_each(house, process):
    caller = await key_with(house, Quota(rate_per_s=4, burst=20))
    seen = [(await process.charge(caller, 3)).remaining for _ in range(6)]
    assert seen == [17, 14, 11, 8, 5, 2]
    assert process.gate.standing(caller, await house.directory.quotas("acme")).reset_s == 5


async def test_keys_of_a_tenant_share_its_quota_and_have_their_own(house, process):
    await tenant_has(house, rate_per_s=1, burst=10)
    free, narrow = await key_with(house), await key_with(house, Quota(rate_per_s=1, burst=3))
    assert sum(await process.through(narrow, *[1] * 9)) == 3
    assert "of this key" in (await process.refused(narrow, 1)).detail
    assert sum(await process.through(free, *[1] * 9)) == 7
    assert "of this tenant" in (await process.refused(free, 1)).detail


async def test_one_tenant_over_its_quota_keeps_nobody_else_waiting(house, process):
    await tenant_has(house, rate_per_s=1)
    await house.control.tenants.put("other", "Other")
    other = await key_with(house, Quota(rate_per_s=1, burst=50), tenant="other")
    ours = await key_with(house)
    await process.through(ours, *[1] * 100)
    assert sum(await process.through(other, *[1] * 100)) == 50


async def test_a_daily_total_ends_at_midnight(house, process):
    caller = await key_with(house, Quota(daily=100))
    assert sum(await process.through(caller, *[7] * 20)) == 98
    refusal = await process.refused(caller, 3)
    seconds = (DAY_MS - house.clock.wall_ms % DAY_MS + 999) // 1000
    assert (refusal.code, refusal.retry_after_s) == ("daily_quota_exceeded", seconds)
    assert refusal.standing.reset_s == seconds
    house.clock.wall_ms += DAY_MS - house.clock.wall_ms % DAY_MS - 1
    await process.refused(caller, 3)
    house.clock.wall_ms += 1
    assert sum(await process.through(caller, *[50] * 3)) == 100


async def test_what_never_fits_is_no_matter_of_waiting(house, process):
    for quota in (Quota(rate_per_s=5, burst=9), Quota(daily=9), Quota(audience_max=9)):
        caller = await key_with(house, quota)
        refusal = await process.refused(caller, 10, TooLarge)
        assert (refusal.code, refusal.status, refusal.field) == ("audience_too_large", 413, "to")
        assert "10 recipients are more than the 9" in refusal.detail
        assert await process.through(caller, 10, 9) == [9]


async def test_the_narrower_audience_counts(house, process):
    await tenant_has(house, audience_max=500)
    assert await process.audience_max(await key_with(house)) == 500
    assert await process.audience_max(await key_with(house, Quota(audience_max=20))) == 20
    assert await process.audience_max(await key_with(house, Quota(audience_max=900, rate_per_s=1))) == 500


async def test_a_changed_quota_holds_from_then_on(house, process):
    caller = await key_with(house, Quota(rate_per_s=1, burst=5))
    assert sum(await process.through(caller, *[1] * 9)) == 5
    await house.control.quotas.put("acme", caller.key_id, Quota(rate_per_s=1, burst=8))
    house.settle()
    assert sum(await process.through(caller, *[1] * 9)) == 3, "what was used stays used"
    await house.control.quotas.put("acme", caller.key_id, Quota())
    house.settle()
    assert len(await process.through(caller, *[1] * 9)) == 9


async def test_nobody_waits_for_what_a_larger_quota_let_through(house, process):
    caller = await key_with(house, Quota(rate_per_s=1_000, burst=100_000))
    assert await process.through(caller, 100_000) == [100_000]
    await house.control.quotas.put("acme", caller.key_id, Quota(rate_per_s=1, burst=2))
    house.settle()
    assert (await process.refused(caller, 1)).retry_after_s == 1
    house.clock.wall_ms += 2_000
    assert await process.through(caller, 1, 1, 1) == [1, 1]


async def test_a_days_count_outlasts_a_smaller_total(house, process):
    caller = await key_with(house, Quota(daily=200))
    assert await process.through(caller, 100) == [100]
    for daily, through in ((50, []), (101, [1]), (201, [99, 1])):
        await house.control.quotas.put("acme", caller.key_id, Quota(daily=daily))
        house.settle()
        assert await process.through(caller, *through, 1) == through


async def test_processes_share_what_there_is(house, store):
    caller = await key_with(house, Quota(rate_per_s=100, burst=300, daily=400))
    processes = [Process(house, store) for _ in range(3)]
    taken = sum([sum(await one.through(caller, 1)) for _ in range(200) for one in processes])
    assert taken == 300
    house.clock.wall_ms += 3_000
    taken += sum([sum(await one.through(caller, 1)) for _ in range(200) for one in processes])
    assert taken == 400


async def test_the_store_is_asked_for_many_at_once_and_never_for_what_cannot_be(house, store, process):
    caller = await key_with(house, Quota(rate_per_s=1_000, burst=10_000))
    for _ in range(1_000):
        await process.charge(caller, 1)
    assert store.changes <= 1_000 // 100
    await process.through(caller, *[1] * 10_000)
    before = store.changes
    for _ in range(100):
        await process.refused(caller, 1)
    assert store.changes == before
    house.clock.wall_ms += 1
    await process.charge(caller, 1)
    assert store.changes == before + 1


async def test_refused_events_are_counted_by_kind(house, process):
    caller = await key_with(house, Quota(rate_per_s=1, burst=4, daily=5, audience_max=3))
    await process.through(caller, 3, 3, 2, 9)
    house.clock.wall_ms += 10_000
    await process.through(caller, 3, 2)
    assert process.notes.counts == {
        ("quota_refused", "rate"): 2,
        ("quota_refused", "audience"): 9,
        ("quota_refused", "daily"): 3 + 3,
    }


async def test_a_process_keeps_a_bounded_number_of_meters(house, store, monkeypatch):
    monkeypatch.setattr("clarion.accept.quota_meter.QUOTA_METERS_MAX", 2)
    assert limits.QUOTA_METERS_MAX > 2
    process = Process(house, store)
    callers = [await key_with(house, Quota(daily=2)) for _ in range(5)]
    for caller in [*callers, *callers]:
        await process.charge(caller, 1)
    assert len(process.gate._meters._meters) <= 2
    assert [await process.through(caller, 1) for caller in callers] == [[]] * 5, (
        "what was used is not forgotten with them"
    )
