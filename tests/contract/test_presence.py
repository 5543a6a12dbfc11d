"""Who is connected to which gateway, over every backend."""

import pytest

from clarion.ports.presence import Connected
from tests.contract.backends import PRESENCE, SHARED
from tests.contract.swaps import opening

PORT = "presence"
ADA, BEN, OTHER = ("acme", "ada"), ("acme", "ben"), ("other", "ada")
ALL = [ADA, BEN, OTHER]
TTL_MS = 60_000


@pytest.fixture
async def open_store(control_backend, tmp_path):
    """Return a function that opens the store again, as another process does."""
    async with opening(lambda: PRESENCE[control_backend](tmp_path)) as once_more:
        yield once_more


@pytest.fixture
def store(open_store):
    return open_store()


async def test_nobody_is_connected_at_first(store):
    assert await store.present(ALL) == {}
    assert await store.present([]) == {}
    assert await store.gateways() == 0


async def test_users_are_connected_wherever_a_gateway_says_so(store):
    assert await store.renew("one", TTL_MS) is False
    assert await store.renew("two", TTL_MS) is False
    await store.record("one", [Connected(*ADA, 2), Connected(*OTHER, 1)])
    await store.record("two", [Connected(*ADA, 1)])
    assert await store.present(ALL) == {ADA: 3, OTHER: 1}
    assert await store.present([BEN]) == {}
    assert await store.gateways() == 2


async def test_the_last_number_counts(store):
    await store.renew("one", TTL_MS)
    await store.record("one", [Connected(*ADA, 2), Connected(*BEN, 1)])
    await store.record("one", [Connected(*ADA, 1), Connected(*BEN, 0), Connected(*OTHER, 0)])
    assert await store.present(ALL) == {ADA: 1}
    await store.record("one", [])
    assert await store.renew("one", TTL_MS) is True
    assert await store.present(ALL) == {ADA: 1}


async def test_users_are_gone_with_the_lease_of_their_gateway(store):
    await store.renew("one", 0)
    await store.renew("two", TTL_MS)
    await store.record("one", [Connected(*ADA, 1)])
    await store.record("two", [Connected(*BEN, 1)])
    assert await store.present(ALL) == {BEN: 1}
    assert await store.gateways() == 1


async def test_a_lapsed_gateway_that_goes_on_knows_whether_it_was_forgotten(store):
    await store.renew("one", 0)
    await store.record("one", [Connected(*ADA, 1)])
    assert await store.renew("one", TTL_MS) is True  # nobody has removed it yet
    assert await store.present(ALL) == {ADA: 1}
    await store.renew("one", 0)
    await store.renew("two", TTL_MS)
    assert await store.renew("one", TTL_MS) is False
    assert await store.present(ALL) == {}


async def test_a_gateway_that_leaves_takes_its_users_along(store):
    await store.renew("one", TTL_MS)
    await store.renew("two", TTL_MS)
    await store.record("one", [Connected(*ADA, 1), Connected(*BEN, 1)])
    await store.record("two", [Connected(*ADA, 1)])
    await store.withdraw("one")
    await store.withdraw("one")
    assert await store.present(ALL) == {ADA: 1}
    assert await store.renew("one", TTL_MS) is False


@pytest.mark.needs_trait(SHARED)
async def test_other_processes_see_it(open_store):
    one, other = open_store(), open_store()
    await one.renew("one", TTL_MS)
    await one.record("one", [Connected(*ADA, 1)])
    assert await other.present(ALL) == {ADA: 1}
    assert await other.gateways() == 1
