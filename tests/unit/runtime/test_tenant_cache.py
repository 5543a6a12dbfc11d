"""What is held of a tenant is used until it is stale, and never more than the bound is held."""

import pytest

from clarion.runtime.tenant_cache import TenantCache


class Revisions:
    def __init__(self):
        self.numbers, self.is_known = {}, True

    def revision(self, tenant):
        return self.numbers.get(tenant, 0)

    def is_current(self):
        return self.is_known


@pytest.fixture
def revisions():
    return Revisions()


def put(cache, tenant, *names):
    held = cache.of(tenant)
    held.update(dict.fromkeys(names, True))
    cache.keep(tenant, held, len(held))
    return held


def test_what_is_held_stays_until_the_tenant_changes_and_no_other_tenant_is_touched(revisions):
    cache = TenantCache(revisions, 9, dict)
    mine, theirs = put(cache, "a", "x"), put(cache, "b", "y")
    assert cache.of("a") is mine
    revisions.numbers["a"] = 1
    assert cache.of("a") == {}
    assert mine == {"x": True}, "whoever holds it keeps it"
    assert cache.of("b") is theirs


def test_what_was_read_before_a_change_is_not_used_after_it(revisions):
    cache = TenantCache(revisions, 9, dict)
    held = cache.of("a")
    revisions.numbers["a"] = 1  # while it is read
    held["x"] = True
    cache.keep("a", held, 1)
    assert cache.of("a") == {}


def test_while_nobody_knows_of_changes_all_is_read_and_nothing_held_is_lost(revisions):
    cache = TenantCache(revisions, 9, dict)
    held = put(cache, "a", "x")
    revisions.is_known = False
    for _ in range(2):
        assert put(cache, "a") == {}
        assert put(cache, "a", "y") == cache.last("a") == {"y": True}
    revisions.is_known = True
    assert cache.of("a") is cache.last("a") is held == {"x": True}


def test_the_bound_counts_tenants_and_all_that_is_held_of_them(revisions):
    cache = TenantCache(revisions, 4, dict)
    put(cache, "a", "x", "y")
    assert put(cache, "b") == {}
    assert cache.of("a") == {"x": True, "y": True}
    assert cache.of("c") == {}
    assert cache.last("a") is cache.last("b") is None
    held = put(cache, "c", *"vwxyz")
    assert cache.last("c") is None
    assert len(held) == 5
    for number in range(20):
        put(cache, f"t{number}", "x")
        assert len(cache._tenants) <= 2


def test_what_is_dropped_is_read_again_and_counts_no_more(revisions):
    cache = TenantCache(revisions, 4, dict)
    put(cache, "a", "x", "y")
    cache.drop("a")
    cache.drop("a")
    assert cache.last("a") is None
    assert put(cache, "a", *"xyz") == cache.of("a") == dict.fromkeys("xyz", True)
