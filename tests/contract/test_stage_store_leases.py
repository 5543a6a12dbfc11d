"""Guarantees of every stage store for leases: one holder at a time, identified by its fence."""

import pytest

from clarion.domain.errors import StaleLease
from clarion.domain.limits_processes import LEASE_TTL_MS_MAX
from clarion.ports.stage_store import (
    Lease,
    StageResult,
)
from tests.contract.journals import (
    TTL_MS,
    frame,
    held,
)

PORT = "stage store"


class TestLeases:
    async def test_one_owner_at_a_time(self, store):
        assert await store.acquire("g", 0, "one", TTL_MS) == Lease("g", 0, "one", 1)
        assert await store.acquire("g", 0, "two", TTL_MS) is None
        assert await store.acquire("g", 1, "two", TTL_MS) == Lease("g", 1, "two", 1)
        assert await store.acquire("other", 0, "two", TTL_MS) == Lease("other", 0, "two", 1)

    async def test_the_owner_gets_its_lease_again_with_a_new_fence(self, store):
        first, second = await held(store), await held(store)
        assert (first.fence, second.fence) == (1, 2)
        with pytest.raises(StaleLease):
            await store.commit(StageResult(frames=[frame()], lease=first))
        assert (await store.commit(StageResult(frames=[frame()], lease=second))).offsets == [1]

    async def test_takeover_after_expiry_grows_the_fence_and_shuts_out_the_zombie(self, store, clock):
        zombie = await held(store, owner="slow")
        clock.machine_ms += TTL_MS
        heir = await held(store, owner="quick")
        assert heir.fence == zombie.fence + 1
        with pytest.raises(StaleLease):
            await store.commit(StageResult(frames=[frame()], lease=zombie))
        assert await store.renew([zombie, heir], TTL_MS) == [heir]

    async def test_an_expired_lease_is_stale_even_before_anyone_took_it(self, store, clock):
        lease = await held(store)
        clock.machine_ms += TTL_MS - 1
        await store.commit(StageResult(frames=[frame()], lease=lease))
        clock.machine_ms += 1
        with pytest.raises(StaleLease):
            await store.commit(StageResult(frames=[frame()], lease=lease))
        assert await store.renew([lease], TTL_MS) == []

    async def test_steps_of_the_wall_clock_touch_no_lease(self, store, clock):
        lease = await held(store)
        clock.wall_ms += 10 * TTL_MS
        assert await store.acquire("g", 0, "two", TTL_MS) is None
        clock.wall_ms -= 20 * TTL_MS
        assert (await store.commit(StageResult(frames=[frame()], lease=lease))).offsets == [1]

    async def test_renewing_extends(self, store, clock):
        lease = await held(store)
        for _ in range(5):
            clock.machine_ms += TTL_MS - 1
            assert await store.renew([lease], TTL_MS) == [lease]
        assert await store.acquire("g", 0, "two", TTL_MS) is None

    async def test_released_leases_are_free_at_once_and_their_fence_still_grows(self, store):
        lease = await held(store, owner="one")
        await store.release([lease])
        with pytest.raises(StaleLease):
            await store.commit(StageResult(frames=[frame()], lease=lease))
        heir = await held(store, owner="two")
        assert heir.fence == lease.fence + 1
        await store.release([lease])  # a late release of a lost lease frees nothing
        assert await store.acquire("g", 0, "one", TTL_MS) is None

    async def test_what_dead_owners_held_is_free_at_once_and_they_are_shut_out(self, store):
        dead = [await held(store, owner="w-1"), await held(store, partition=1, owner="w-1")]
        other = await held(store, partition=2, owner="w-2")
        await store.release(dead[1:])
        assert await store.release_dead(["w-1", "w-0"]) == 1
        assert await store.release_dead(["w-1"]) == 0
        heir = await held(store, owner="w-3")
        assert heir.fence == dead[0].fence + 1
        with pytest.raises(StaleLease):
            await store.commit(StageResult(frames=[frame()], lease=dead[0]))
        assert await store.renew([dead[0], other, heir], TTL_MS) == [other, heir]

    @pytest.mark.parametrize("ttl_ms", [0, -1, LEASE_TTL_MS_MAX + 1])
    async def test_a_lease_runs_for_a_bounded_time(self, store, ttl_ms):
        with pytest.raises(ValueError, match="a lease runs"):
            await store.acquire("g", 0, "me", ttl_ms)
