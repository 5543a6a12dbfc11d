"""The owner of an API key is looked up once, and again as soon as it may have changed."""

import pytest

from clarion.domain.errors import StoreUnavailable
from clarion.identity import callers as module
from clarion.identity.callers import Callers
from tests.contract.controls import ControlPlane, migrated

T = "acme"


class CallCounter:
    """A directory that counts the keys it looks up."""

    def __init__(self, directory):
        self._directory = directory
        self.asked = 0

    def __getattr__(self, name):
        self.asked += name == "api_key"
        return getattr(self._directory, name)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return migrated(tmp_path_factory.mktemp("empty"))


@pytest.fixture(params=["memory", "sqlite"])
async def installation(request, empty, tmp_path):
    installation = ControlPlane.copy_of(empty, tmp_path, request.param)
    await installation.control.tenants.put(T, "Acme")
    yield installation
    await installation.close()


async def secret_of(installation, **values):
    record, secret = await installation.control.keys.create(T, "ci", ["*"], **values)
    await installation.directory.refresh()
    return record, secret


async def test_a_cached_key_is_not_looked_up_again(installation):
    counted = CallCounter(installation.directory)
    callers = Callers(counted)
    record, secret = await secret_of(installation)
    for _ in range(5):
        caller = await callers.of(secret, installation.clock.now_ms())
        assert (caller.tenant, caller.actor.id) == (T, record.key_id)
    assert counted.asked == 1
    for wrong in (secret[:-1] + "x", "clk_" + record.key_id, ""):
        assert await callers.of(wrong, installation.clock.now_ms()) is None


async def test_a_key_revoked_by_this_process_is_refused_at_once(installation):
    callers = Callers(installation.directory)
    record, secret = await secret_of(installation)
    assert await callers.of(secret, installation.clock.now_ms())
    await installation.control.keys.revoke(T, record.key_id)
    assert await callers.of(secret, installation.clock.now_ms()) is None


async def test_a_key_is_refused_after_its_expiry(installation):
    callers = Callers(installation.directory)
    now_ms = installation.clock.now_ms()
    _, secret = await secret_of(installation, expires_ms=now_ms + 1_000)
    assert await callers.of(secret, now_ms + 999)
    assert await callers.of(secret, now_ms + 1_000) is None


async def test_a_key_revoked_elsewhere_is_refused_in_time_even_without_refreshes(installation):
    if installation.backend == "memory":
        pytest.skip("one process has it all")
    other = ControlPlane(installation.data_dir, installation.clock, installation.backend)
    callers = Callers(other.directory)
    record, secret = await secret_of(installation)
    await other.directory.refresh()
    assert await callers.of(secret, installation.clock.now_ms())
    await installation.control.keys.revoke(T, record.key_id)
    installation.settle()
    assert await callers.of(secret, installation.clock.now_ms()) is None
    assert await callers.of(secret, installation.clock.now_ms()) is None
    await other.close()


async def test_a_missed_refresh_costs_one_lookup_and_not_one_per_key(installation):
    counted = CallCounter(installation.directory)
    callers = Callers(counted)
    secrets = [(await secret_of(installation))[1] for _ in range(5)]
    for _ in range(2):
        for secret in secrets:
            assert await callers.of(secret, installation.clock.now_ms())
        installation.settle()
    assert counted.asked == (5 if installation.backend == "memory" else 6), "a lookup refreshes, too"


async def test_the_number_of_cached_keys_is_bounded(installation, monkeypatch):
    monkeypatch.setattr(module, "CALLERS_KEPT_MAX", 2)
    callers = Callers(installation.directory)
    secrets = [(await secret_of(installation))[1] for _ in range(5)]
    for secret in [*secrets, *secrets]:
        assert await callers.of(secret, installation.clock.now_ms())
        assert callers._known._count <= 2


async def test_a_failed_refresh_lets_no_revoked_key_in(installation, monkeypatch):
    def fail(*_asked):
        raise StoreUnavailable("control store: disk I/O error")

    callers = Callers(installation.directory)
    record, secret = await secret_of(installation)
    assert await callers.of(secret, installation.clock.now_ms())
    await installation.control.keys.revoke(T, record.key_id)
    if installation.backend == "sqlite":
        with monkeypatch.context() as broken, pytest.raises(StoreUnavailable):
            broken.setattr(installation.directory, "_rows", fail)
            await installation.directory.refresh()
    for _ in range(3):
        assert await callers.of(secret, installation.clock.now_ms()) is None
        await installation.directory.refresh()
