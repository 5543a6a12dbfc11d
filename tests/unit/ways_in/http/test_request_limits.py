"""Limits on requests: who shares one, what a refusal costs, and that nobody gets out of one by being forgotten."""

import asyncio

import msgspec
import pytest

from clarion.domain.errors import RequestLimited, StoreUnavailable
from clarion.domain.limits_processes import NETWORK_PEERS
from clarion.domain.quota import TENANT, Quota
from clarion.domain.request_rate import NS_PER_S
from clarion.edge.bounded_table import BoundedTable
from clarion.identity.callers import OPERATOR
from clarion.ways_in.http import request_limits as module
from clarion.ways_in.http.request_limits import RequestLimits
from tests.callers import by_key, by_user
from tests.unit.ways_in.http.test_endpoint import limits_of, no_quotas

K1, K2 = by_key(key_id="k1"), by_key(key_id="k2")
OTHER = by_key("other", key_id="k1")
RIA = by_user("ria")
CHIEF = OPERATOR
SMALL = {
    "key_per_s": 1, "key_burst": 3, "tenant_per_s": 1, "tenant_burst": 5, "user_per_s": 1, "user_burst": 2,
    "public_per_s": 1, "public_burst": 2,
}  # fmt: skip


class Clock:
    now_ns = 10**15

    def __call__(self):
        return self.now_ns


@pytest.fixture
def clock():
    return Clock()


def made(clock, quotas=no_quotas, **limits):
    return RequestLimits(limits_of(**(SMALL | limits)).limits, quotas, clock)


async def admitted(charge, *args, most=100):
    """Return how many requests in a row are admitted."""
    for number in range(most):
        try:
            charged = charge(*args)
            if asyncio.iscoroutine(charged):
                await charged
        except RequestLimited:
            return number
    return most


async def test_each_key_has_a_limit_and_all_of_a_tenant_another(clock):
    limits = made(clock)
    assert await admitted(limits.charge_caller, K1) == 3
    assert await admitted(limits.charge_caller, K2) == 2
    assert await admitted(limits.charge_caller, OTHER) == 3
    assert await admitted(limits.charge_caller, RIA) == 2
    assert await admitted(limits.charge_caller, msgspec.structs.replace(RIA, user_id="bo")) == 2
    assert await admitted(limits.charge_caller, msgspec.structs.replace(RIA, tenant="other")) == 2
    assert await admitted(limits.charge_caller, CHIEF) == 3
    clock.now_ns += NS_PER_S
    assert await admitted(limits.charge_caller, K1) == 1


async def test_a_refused_request_costs_nothing_of_another_limit(clock):
    limits = made(clock)
    assert await admitted(limits.charge_caller, K1) == 3
    for _ in range(5):
        assert await admitted(limits.charge_caller, K1) == 0
    assert await admitted(limits.charge_caller, K2) == 2
    limits = made(clock, key_burst=6, tenant_burst=3)
    for _ in range(3):
        await admitted(limits.charge_caller, K1)
    clock.now_ns += 3 * NS_PER_S
    assert (await limits.charge_caller(K1)).remaining == 2


async def test_the_state_of_the_limit_with_the_least_room_is_told(clock):
    limits = made(clock, key_per_s=3, key_burst=7)
    assert (await limits.charge_caller(K1)) == (5, 4, 1, 5)
    limits = made(clock, tenant_burst=9)
    assert (await limits.charge_caller(K1)) == (3, 2, 1, 3)
    with pytest.raises(RequestLimited, match="of this key is 1 requests a second, 3 at once") as refusal:
        [await limits.charge_caller(K1) for _ in range(3)]
    assert (refusal.value.retry_after_s, refusal.value.request_status) == (1, (3, 0, 1, 3))


async def test_no_limit_is_no_limit(clock):
    limits = made(clock, key_per_s=0, tenant_per_s=0, user_per_s=0, public_per_s=0)
    for caller in (K1, RIA, CHIEF):
        assert await limits.charge_caller(caller) is None
    assert limits.charge_peer("/a", ("::/64", "::/48")) is None
    assert await admitted(made(clock, tenant_per_s=0).charge_caller, K1) == 3
    assert await admitted(made(clock, key_per_s=0).charge_caller, K1) == 5


async def test_all_users_of_a_tenant_have_a_limit_apart_from_its_keys(clock):
    limits = made(clock)
    users = [msgspec.structs.replace(RIA, user_id=str(number)) for number in range(9)]
    assert sum([await admitted(limits.charge_caller, user) for user in users]) == 5
    assert await admitted(limits.charge_caller, K1) == 3


async def test_the_operator_sets_the_limits_of_tenants_and_keys(clock):
    stored = {"acme": {TENANT: Quota(requests_per_s=1, requests_burst=9), "k1": Quota(requests_per_s=7)}, "other": {}}
    reads = []

    async def quotas(tenant):
        reads.append(tenant)
        if stored[tenant] is None:
            raise StoreUnavailable("away")
        return stored[tenant]

    limits = made(clock, quotas)
    assert [await admitted(limits.charge_caller, caller) for caller in (K1, K2, OTHER)] == [7, 2, 3]
    assert reads == ["acme", "other"]
    users = [msgspec.structs.replace(RIA, user_id=str(number)) for number in range(9)]
    assert sum([await admitted(limits.charge_caller, user) for user in users]) == 9
    stored["acme"] = None
    clock.now_ns += NS_PER_S
    assert await admitted(limits.charge_caller, K1) == 1


async def test_a_lower_limit_is_soon_whole_whatever_was_used_of_a_higher_one(clock):
    stored = {TENANT: Quota(requests_per_s=1, requests_burst=1_000)}

    async def quotas(tenant):
        return stored

    limits = made(clock, quotas, key_burst=2_000)
    assert await admitted(limits.charge_caller, K1, most=500) == 500
    stored.clear()
    clock.now_ns += NS_PER_S
    with pytest.raises(RequestLimited) as refusal:
        await limits.charge_caller(K1)
    assert refusal.value.retry_after_s == 1
    clock.now_ns += 2 * NS_PER_S
    assert await admitted(limits.charge_caller, K1) == 2


async def test_peers_are_limited_by_route_and_the_peers_of_a_network_together(clock):
    limits = made(clock)
    assert await admitted(limits.charge_peer, "/a", ("192.0.2.1",)) == 2
    assert await admitted(limits.charge_peer, "/b", ("192.0.2.1",)) == 2
    assert await admitted(limits.charge_peer, "/a", ("192.0.2.2",)) == 2
    all_peers = [await admitted(limits.charge_peer, "/a", (f"{peer}/64", "net/48")) for peer in range(100)]
    assert (all_peers[0], sum(all_peers)) == (2, 2 * NETWORK_PEERS)


async def test_a_full_table_forgets_those_with_the_least_use(clock, monkeypatch):
    monkeypatch.setattr(module, "REQUEST_RATES_KEPT_MAX", 100)
    limits = made(clock, public_burst=3)
    assert await admitted(limits.charge_peer, "/a", ("victim",)) == 3
    for number in range(1_000):
        limits.charge_peer("/a", (str(number),))
        assert len(limits._peer.used.entries) <= 100
    assert await admitted(limits.charge_peer, "/a", ("victim",)) == 0
    clock.now_ns += 10 * NS_PER_S
    for number in range(101):
        limits.charge_peer("/b", (str(number),))
    assert await admitted(limits.charge_peer, "/a", ("victim",)) == 3


def test_a_table_drops_what_is_over_before_it_drops_what_is_not():
    table = BoundedTable[int](4, lambda use, now: use <= now)
    for name, use in (("a", 9), ("b", 1), ("c", 2), ("d", 8)):
        table.put(name, use, 0)
    table.put("a", 10, 3)
    assert len(table.entries) == 4
    table.put("e", 5, 3)
    assert table.entries == {"a": 10, "d": 8, "e": 5}
    table.put("f", 6, 3)
    table.put("g", 1_000, 3)
    assert table.entries == {"a": 10, "d": 8, "g": 1_000}
