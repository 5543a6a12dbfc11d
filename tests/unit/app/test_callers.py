"""Whose API keys are is asked once a key, and again as soon as it may be otherwise."""

import pytest

from clarion.app import callers as module
from clarion.app.callers import Callers
from clarion.domain.errors import StoreUnavailable
from tests.contract.controls import House, migrated

T = "acme"


class Counted:
    """A directory with the number of keys it was asked for."""

    def __init__(self, directory):
        self._directory = directory
        self.asked = 0

    def __getattr__(self, name):
        self.asked += name == "caller"
        return getattr(self._directory, name)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture(params=["memory", "sqlite"])
async def house(request, empty, tmp_path):
    house = House.copy_of(empty, tmp_path, request.param)
    await house.control.tenants.put(T, "Acme")
    yield house
    await house.close()


async def secret_of(house, **values):
    record, secret = await house.control.keys.create(T, "ci", ["*"], **values)
    await house.directory.learn()
    return record, secret


async def test_a_key_that_was_seen_is_not_asked_for_again(house):
    counted = Counted(house.directory)
    callers = Callers(counted)
    record, secret = await secret_of(house)
    for _ in range(5):
        caller = await callers.of(secret, house.clock.now_ms())
        assert (caller.tenant, caller.key_id) == (T, record.key_id)
    assert counted.asked == 1
    for wrong in (secret[:-1] + "x", "clk_" + record.key_id, ""):
        assert await callers.of(wrong, house.clock.now_ms()) is None


async def test_a_key_that_this_process_revokes_opens_nothing_any_more(house):
    callers = Callers(house.directory)
    record, secret = await secret_of(house)
    assert await callers.of(secret, house.clock.now_ms())
    await house.control.keys.revoke(T, record.key_id)
    assert await callers.of(secret, house.clock.now_ms()) is None


async def test_a_key_ends_when_its_time_is_over(house):
    callers = Callers(house.directory)
    now_ms = house.clock.now_ms()
    _, secret = await secret_of(house, expires_ms=now_ms + 1_000)
    assert await callers.of(secret, now_ms + 999)
    assert await callers.of(secret, now_ms + 1_000) is None


async def test_a_key_revoked_elsewhere_is_refused_in_time_even_where_nobody_learns(house):
    if house.engine == "memory":
        pytest.skip("one process has it all")
    other = House(house.data_dir, house.clock, house.engine)
    callers = Callers(other.directory)
    record, secret = await secret_of(house)
    await other.directory.learn()
    assert await callers.of(secret, house.clock.now_ms())
    await house.control.keys.revoke(T, record.key_id)
    house.settle()
    assert await callers.of(secret, house.clock.now_ms()) is None
    assert await callers.of(secret, house.clock.now_ms()) is None
    await other.close()


async def test_a_moment_without_learning_costs_one_question_and_not_one_a_key(house):
    counted = Counted(house.directory)
    callers = Callers(counted)
    secrets = [(await secret_of(house))[1] for _ in range(5)]
    for _ in range(2):
        for secret in secrets:
            assert await callers.of(secret, house.clock.now_ms())
        house.settle()
    assert counted.asked == (5 if house.engine == "memory" else 6), "who asks looks for changes, too"


async def test_a_bounded_number_of_keys_is_kept(house, monkeypatch):
    monkeypatch.setattr(module, "CALLERS_KEPT_MAX", 2)
    callers = Callers(house.directory)
    secrets = [(await secret_of(house))[1] for _ in range(5)]
    for secret in [*secrets, *secrets]:
        assert await callers.of(secret, house.clock.now_ms())
        assert len(callers._known) <= 2


async def test_a_look_for_changes_that_fails_lets_no_revoked_key_in(house, monkeypatch):
    def fail(*_asked):
        raise StoreUnavailable("control store: disk I/O error")

    callers = Callers(house.directory)
    record, secret = await secret_of(house)
    assert await callers.of(secret, house.clock.now_ms())
    await house.control.keys.revoke(T, record.key_id)
    if house.engine == "sqlite":
        with monkeypatch.context() as broken, pytest.raises(StoreUnavailable):
            broken.setattr(house.directory, "_rows", fail)
            await house.directory.learn()
    for _ in range(3):
        assert await callers.of(secret, house.clock.now_ms()) is None
        await house.directory.learn()
