"""Guarantees of every stage store about builds: its feature level is the lowest of all processes at work, and never falls."""

import pytest

from clarion.domain.errors import OperatorError
from clarion.domain.feature_level import FEATURE_LEVEL
from clarion.domain.limits_processes import ENROLLED_MS
from tests.contract.backends import SHARED
from tests.contract.journals import held

PORT = "stage store"
OURS, NEXT, LATER = FEATURE_LEVEL, FEATURE_LEVEL + 1, FEATURE_LEVEL + 2
TTL_MS = 1_000


async def test_a_new_store_has_the_level_of_the_build_that_made_it(store):
    assert store.feature_level() == OURS
    assert await store.enroll("worker", OURS, TTL_MS) == OURS


async def test_the_level_is_the_lowest_of_all_processes(store):
    assert await store.enroll("old", OURS, TTL_MS) == OURS
    assert await store.enroll("new", LATER, TTL_MS) == OURS
    assert await store.enroll("other", NEXT, TTL_MS) == OURS
    await store.withdraw("old")
    assert await store.enroll("new", LATER, TTL_MS) == NEXT
    await store.withdraw("other")
    assert store.feature_level() == NEXT
    assert await store.enroll("new", LATER, TTL_MS) == store.feature_level() == LATER


async def test_a_process_counts_until_it_has_not_enrolled_for_its_time(store, clock):
    await store.enroll("old", OURS, TTL_MS)
    clock.pass_ms(TTL_MS - 1)
    await store.enroll("old", OURS, TTL_MS)
    clock.pass_ms(TTL_MS - 1)
    assert await store.enroll("new", NEXT, TTL_MS) == OURS
    clock.pass_ms(1)
    assert await store.enroll("new", NEXT, TTL_MS) == NEXT


async def test_a_process_of_a_lower_level_is_refused_and_changes_nothing(store):
    await store.enroll("new", LATER, TTL_MS)
    with pytest.raises(OperatorError, match=f"feature level is {LATER}.* up to {OURS}"):
        await store.enroll("old", OURS, TTL_MS)
    assert await store.enroll("new", LATER + 1, TTL_MS) == LATER + 1


async def test_the_level_never_falls(store):
    await store.enroll("new", NEXT, TTL_MS)
    await store.withdraw("new")
    with pytest.raises(OperatorError):
        await store.enroll("old", OURS, TTL_MS)
    await held(store, owner="silent")
    assert await store.enroll("new", LATER, TTL_MS) == NEXT


async def test_a_holder_of_a_lease_that_says_nothing_reads_nothing_new(store):
    lease = await held(store, owner="silent")
    assert await store.enroll("new", NEXT, TTL_MS) == OURS
    await store.release([lease])
    assert await store.enroll("new", NEXT, TTL_MS) == NEXT


async def test_a_lease_that_expired_counts_no_more(store, clock):
    lease = await held(store, owner="silent")
    await store.renew([lease], TTL_MS)
    assert await store.enroll("new", NEXT, TTL_MS) == OURS
    clock.pass_ms(TTL_MS)
    assert await store.enroll("new", NEXT, TTL_MS) == NEXT


async def test_a_holder_of_a_lease_that_said_what_it_reads_counts_by_that(store):
    await store.enroll("worker", NEXT, TTL_MS)
    await held(store, owner="worker")
    assert await store.enroll("new", LATER, TTL_MS) == NEXT


@pytest.mark.needs_trait(SHARED)
async def test_a_process_learns_the_level_when_it_enrolls(open_store):
    one, other = open_store(), open_store()
    await one.enroll("one", LATER, TTL_MS)
    assert (one.feature_level(), other.feature_level()) == (LATER, OURS)
    assert await other.enroll("other", LATER, TTL_MS) == other.feature_level() == LATER
    assert open_store().feature_level() == LATER


@pytest.mark.parametrize("ttl_ms", [0, ENROLLED_MS + 1])
async def test_a_process_enrolls_for_a_bounded_time(store, ttl_ms):
    with pytest.raises(ValueError, match=f"1 to {ENROLLED_MS} ms"):
        await store.enroll("worker", OURS, ttl_ms)


async def test_who_is_at_work_is_known_until_it_ends_or_runs_out(store, clock):
    assert await store.at_work() == (set(), set())
    lease = await held(store, "plan")
    await held(store, "record")
    await held(store, "record", 1)
    await store.enroll("scheduler-a", OURS, TTL_MS)
    await store.enroll("api-a", OURS, ENROLLED_MS)
    assert await store.at_work() == ({"plan", "record"}, {"scheduler-a", "api-a"})
    await store.release([lease])
    await store.withdraw("api-a")
    assert await store.at_work() == ({"record"}, {"scheduler-a"})
    clock.pass_ms(ENROLLED_MS)
    assert await store.at_work() == (set(), set())
