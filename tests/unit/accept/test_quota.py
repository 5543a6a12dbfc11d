"""The quota gate over a real control store: the charges, the quota status it reports, and how rarely it reads."""

import pytest

from clarion.accept.worker_quota import QuotaGate
from clarion.domain import limits_processes as limits
from clarion.domain.errors import QuotaExceeded, QuotaStatus, TooLarge
from clarion.domain.quota import TENANT, Quota
from clarion.stores.memory.quotas import MemoryQuotas
from tests.callers import by_key
from tests.contract.controls import ControlPlane, migrated
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

    def __init__(self, installation, store):
        self.notes = Notes()
        self.directory = installation.directory
        self.gate = QuotaGate(store, installation.clock, self.notes)

    async def charge(self, caller, events):
        return await self.gate.charge(caller, await self.directory.quotas(caller.tenant), events)

    async def audience_max(self, caller):
        return self.gate.audience_max(caller, await self.directory.quotas(caller.tenant))

    async def through(self, caller, *costs):
        """Return the costs that are granted."""
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
async def installation(empty, tmp_path):
    installation = ControlPlane.copy_of(empty, tmp_path)
    installation.clock.wall_ms = MORNING_MS
    await installation.control.tenants.put("acme", "Acme")
    yield installation
    await installation.close()


@pytest.fixture
def store():
    return Shared()


@pytest.fixture
def process(installation, store):
    return Process(installation, store)


async def key_with(installation, quota=None, tenant="acme"):
    """The caller of a new key."""
    record, _ = await installation.control.keys.create(tenant, "", ["*"])
    if quota is not None:
        await installation.control.quotas.put(tenant, record.key_id, quota)
        installation.settle()
    return by_key(tenant, key_id=record.key_id)


async def tenant_has(installation, **figures):
    await installation.control.quotas.put("acme", TENANT, Quota(**figures))
    installation.settle()


async def test_without_a_quota_nothing_is_counted_or_reported(installation, store, process):
    caller = await key_with(installation)
    assert await process.charge(caller, 10_000) is None
    assert await process.audience_max(caller) is None
    assert store.changes == 0


async def test_a_burst_goes_through_at_once_and_the_rate_after_it(installation, process):
    caller = await key_with(installation, Quota(rate_per_s=10, burst=30))
    assert sum(await process.through(caller, *[1] * 100)) == 30
    refusal = await process.refused(caller, 5)
    assert (refusal.code, refusal.retry_after_s, refusal.status) == ("quota_exceeded", 1, 429)
    assert refusal.detail == ("the quota of this key is 10 a second, 30 at once: there is room for 0 now, not for 5")
    assert refusal.quota_status == QuotaStatus(limit=30, remaining=0, reset_s=1, window_s=3)
    installation.clock.wall_ms += 1_000
    assert sum(await process.through(caller, *[1] * 100)) == 10


async def test_a_rate_without_a_burst_is_one_second_at_once(installation, process):
    caller = await key_with(installation, Quota(rate_per_s=7))
    assert sum(await process.through(caller, *[1] * 100)) == 7


async def test_items_are_admitted_in_order_as_long_as_they_fit(installation, process):
    caller = await key_with(installation, Quota(rate_per_s=1, burst=10))
    assert await process.through(caller, 4, 4, 4, 2, 1) == [4, 4, 2]


async def test_the_answer_reports_the_quota_status_after_each(installation, process):
    caller = await key_with(installation, Quota(rate_per_s=4, burst=20))
    seen = [(await process.charge(caller, 3)).remaining for _ in range(6)]
    assert seen == [17, 14, 11, 8, 5, 2]
    assert process.gate.status(caller, await installation.directory.quotas("acme")).reset_s == 5


async def test_keys_of_a_tenant_share_its_quota_and_have_their_own(installation, process):
    await tenant_has(installation, rate_per_s=1, burst=10)
    free, narrow = await key_with(installation), await key_with(installation, Quota(rate_per_s=1, burst=3))
    assert sum(await process.through(narrow, *[1] * 9)) == 3
    assert "of this key" in (await process.refused(narrow, 1)).detail
    assert sum(await process.through(free, *[1] * 9)) == 7
    assert "of this tenant" in (await process.refused(free, 1)).detail


async def test_a_tenant_over_its_quota_delays_no_other(installation, process):
    await tenant_has(installation, rate_per_s=1)
    await installation.control.tenants.put("other", "Other")
    other = await key_with(installation, Quota(rate_per_s=1, burst=50), tenant="other")
    ours = await key_with(installation)
    await process.through(ours, *[1] * 100)
    assert sum(await process.through(other, *[1] * 100)) == 50


async def test_a_daily_total_ends_at_midnight(installation, process):
    caller = await key_with(installation, Quota(daily=100))
    assert sum(await process.through(caller, *[7] * 20)) == 98
    refusal = await process.refused(caller, 3)
    seconds = (DAY_MS - installation.clock.wall_ms % DAY_MS + 999) // 1000
    assert (refusal.code, refusal.retry_after_s) == ("daily_quota_exceeded", seconds)
    assert refusal.quota_status.reset_s == seconds
    installation.clock.wall_ms += DAY_MS - installation.clock.wall_ms % DAY_MS - 1
    await process.refused(caller, 3)
    installation.clock.wall_ms += 1
    assert sum(await process.through(caller, *[50] * 3)) == 100


async def test_a_request_larger_than_the_quota_is_too_large(installation, process):
    for quota in (Quota(rate_per_s=5, burst=9), Quota(daily=9), Quota(audience_max=9)):
        caller = await key_with(installation, quota)
        refusal = await process.refused(caller, 10, TooLarge)
        assert (refusal.code, refusal.status, refusal.field) == ("audience_too_large", 413, "to")
        assert "10 recipients are more than the 9" in refusal.detail
        assert await process.through(caller, 10, 9) == [9]


async def test_the_narrower_audience_counts(installation, process):
    await tenant_has(installation, audience_max=500)
    assert await process.audience_max(await key_with(installation)) == 500
    assert await process.audience_max(await key_with(installation, Quota(audience_max=20))) == 20
    assert await process.audience_max(await key_with(installation, Quota(audience_max=900, rate_per_s=1))) == 500


async def test_a_changed_quota_holds_from_then_on(installation, process):
    caller = await key_with(installation, Quota(rate_per_s=1, burst=5))
    assert sum(await process.through(caller, *[1] * 9)) == 5
    await installation.control.quotas.put("acme", caller.actor.id, Quota(rate_per_s=1, burst=8))
    installation.settle()
    assert sum(await process.through(caller, *[1] * 9)) == 3, "the usage stays counted"
    await installation.control.quotas.put("acme", caller.actor.id, Quota())
    installation.settle()
    assert len(await process.through(caller, *[1] * 9)) == 9


async def test_lowering_a_quota_leaves_no_debt(installation, process):
    caller = await key_with(installation, Quota(rate_per_s=1_000, burst=100_000))
    assert await process.through(caller, 100_000) == [100_000]
    await installation.control.quotas.put("acme", caller.actor.id, Quota(rate_per_s=1, burst=2))
    installation.settle()
    assert (await process.refused(caller, 1)).retry_after_s == 1
    installation.clock.wall_ms += 2_000
    assert await process.through(caller, 1, 1, 1) == [1, 1]


async def test_a_days_count_outlasts_a_smaller_total(installation, process):
    caller = await key_with(installation, Quota(daily=200))
    assert await process.through(caller, 100) == [100]
    for daily, through in ((50, []), (101, [1]), (201, [99, 1])):
        await installation.control.quotas.put("acme", caller.actor.id, Quota(daily=daily))
        installation.settle()
        assert await process.through(caller, *through, 1) == through


async def test_processes_share_one_quota(installation, store):
    caller = await key_with(installation, Quota(rate_per_s=100, burst=300, daily=400))
    processes = [Process(installation, store) for _ in range(3)]
    admitted = sum([sum(await one.through(caller, 1)) for _ in range(200) for one in processes])
    assert admitted == 300
    installation.clock.wall_ms += 3_000
    admitted += sum([sum(await one.through(caller, 1)) for _ in range(200) for one in processes])
    assert admitted == 400


async def test_the_store_is_asked_for_many_at_once_and_never_for_the_impossible(installation, store, process):
    caller = await key_with(installation, Quota(rate_per_s=1_000, burst=10_000))
    for _ in range(1_000):
        await process.charge(caller, 1)
    assert store.changes <= 1_000 // 100
    await process.through(caller, *[1] * 10_000)
    before = store.changes
    for _ in range(100):
        await process.refused(caller, 1)
    assert store.changes == before
    installation.clock.wall_ms += 1
    await process.charge(caller, 1)
    assert store.changes == before + 1


async def test_refused_events_are_counted_by_kind(installation, process):
    caller = await key_with(installation, Quota(rate_per_s=1, burst=4, daily=5, audience_max=3))
    await process.through(caller, 3, 3, 2, 9)
    installation.clock.wall_ms += 10_000
    await process.through(caller, 3, 2)
    assert process.notes.counts == {
        ("quota_refused", "rate"): 2,
        ("quota_refused", "audience"): 9,
        ("quota_refused", "daily"): 3 + 3,
    }


async def test_a_process_keeps_a_bounded_number_of_meters(installation, store, monkeypatch):
    monkeypatch.setattr("clarion.accept.worker_quota.QUOTA_METERS_MAX", 2)
    assert limits.QUOTA_METERS_MAX > 2
    process = Process(installation, store)
    callers = [await key_with(installation, Quota(daily=2)) for _ in range(5)]
    for caller in [*callers, *callers]:
        await process.charge(caller, 1)
    assert len(process.gate._meters._meters) <= 2
    assert [await process.through(caller, 1) for caller in callers] == [[]] * 5, "the usage is not lost with the meters"
