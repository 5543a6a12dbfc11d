"""Guarantees of the stored keys: rotation, networks, and what is recorded of their use."""

import asyncio

import pytest

from clarion.domain.errors import Conflict, NotFound
from clarion.domain.limits_processes import KEY_NETWORKS_KEPT_MAX
from clarion.domain.networks import contain
from clarion.domain.quota import Quota
from clarion.domain.token_key import TokenKey
from clarion.ports.control_keys import KeyUse

PORT = "control"
T = "acme"
DAY_MS = 24 * 3600 * 1000


async def test_a_key_may_be_used_from_its_networks(control_plane):
    keys, directory, clock = control_plane.control.keys, control_plane.directory, control_plane.clock
    record, secret = await keys.create(T, "ci", ["*"], networks=["10.0.0.0/8"])
    assert record.networks == ("10.0.0.0/8",) and await keys.get(T, record.key_id) == record
    assert contain((await directory.api_key(secret, clock.now_ms())).networks, "10.1.2.3")
    changed = await keys.set_networks(T, record.key_id, ["2001:db8::/32"])
    control_plane.settle()
    networks = (await directory.api_key(secret, clock.now_ms())).networks
    assert not contain(networks, "10.1.2.3") and contain(networks, "2001:db8::1")
    assert (await keys.get(T, record.key_id), await keys.page(T, "", 9)) == (changed, [changed])
    for tenant, key_id in ((T, "none"), ("other", record.key_id)):
        assert await keys.get(tenant, key_id) is None
        with pytest.raises(NotFound):
            await keys.set_networks(tenant, key_id, [])


async def test_a_rotated_key_overlaps_with_its_successor(control_plane):
    keys, directory, clock = control_plane.control.keys, control_plane.directory, control_plane.clock
    await control_plane.control.tenants.put(T, "Acme")
    begun_ms = clock.now_ms()
    old, old_secret = await keys.create(T, "ci", ["users:read"], begun_ms + DAY_MS, ["10.0.0.0/8"])
    quota = Quota(daily=5)
    await control_plane.control.quotas.put(T, old.key_id, quota)
    clock.wall_ms += 1000
    new, new_secret = await keys.rotate(T, old.key_id, 5000)
    control_plane.settle()
    assert (new.tenant, new.name, new.scopes, new.networks) == (T, old.name, old.scopes, old.networks)
    assert (new.replaces, new.replaced_by, new.expires_ms) == (old.key_id, None, begun_ms + 1000 + DAY_MS)
    before = await keys.get(T, old.key_id)
    assert (before.replaced_by, before.expires_ms) == (new.key_id, begun_ms + 6000)
    for secret, key_id in ((old_secret, old.key_id), (new_secret, new.key_id)):
        assert (await directory.api_key(secret, clock.now_ms())).key_id == key_id
    assert await directory.api_key(old_secret, begun_ms + 6000) is None
    assert (await directory.quotas(T)) == {old.key_id: quota, new.key_id: quota}
    assert await keys.get(T, new.key_id) == new


async def test_a_key_is_rotated_once_and_only_while_it_is_valid(control_plane):
    keys, clock = control_plane.control.keys, control_plane.clock
    old, _ = await keys.create(T, "ci", ["*"], clock.now_ms() + 1000)
    for tenant, key_id in ((T, "none"), ("other", old.key_id)):
        with pytest.raises(NotFound):
            await keys.rotate(tenant, key_id, 0)
    results = await asyncio.gather(*(keys.rotate(T, old.key_id, 9000) for _ in range(3)), return_exceptions=True)
    conflicts = [one for one in results if isinstance(one, Conflict)]
    assert [one.code for one in conflicts] == ["key_already_rotated"] * 2
    assert len(await keys.page(T, "", 9)) == 2, "a refused rotation makes no key"
    assert (await keys.get(T, old.key_id)).expires_ms == clock.now_ms() + 1000, "an overlap does not prolong a key"
    revoked, _ = await keys.create(T, "ci", ["*"])
    await keys.revoke(T, revoked.key_id)
    expired, _ = await keys.create(T, "ci", ["*"], clock.now_ms() + 1)
    clock.wall_ms += 1
    for key in (revoked, expired):
        with pytest.raises(Conflict) as refused:
            await keys.rotate(T, key.key_id, 0)
        assert refused.value.code == "key_ended"


async def test_the_last_networks_of_a_key_are_stored(control_plane):
    keys, directory = control_plane.control.keys, control_plane.directory
    record, _ = await keys.create(T, "ci", ["*"])
    await directory.refresh()
    revision = directory.revision("")

    def use(number, at_ms, key_id=record.key_id, tenant=T):
        return KeyUse(tenant, key_id, f"10.0.{number}.0/24", at_ms)

    first, again = use(0, 100), use(0, 50)
    assert await keys.record_uses([first, again, use(1, 1, "none"), use(2, 1, tenant="other")]) == [first]
    assert await keys.record_uses([use(0, 200)]) == []
    stored = await keys.get(T, record.key_id)
    assert (stored.last_used_ms, stored.last_used_from) == (200, "10.0.0.0/24")
    more = [use(number, 200 + number) for number in range(1, KEY_NETWORKS_KEPT_MAX + 1)]
    assert await keys.record_uses(more) == more
    assert await keys.networks_of(T, record.key_id) == more[::-1], "the one used longest ago is forgotten"
    assert await keys.networks_of("other", record.key_id) == []
    assert await keys.record_uses([first]) == [first]
    assert (await keys.get(T, record.key_id)).last_used_ms == more[-1].at_ms
    await directory.refresh()
    assert directory.revision("") == revision, "no cache is dropped"


async def test_keys_that_expire_soon_are_named_once_in_a_while(control_plane):
    keys, clock = control_plane.control.keys, control_plane.clock
    now_ms = clock.now_ms()
    late, soon, other, revoked, rotated = [
        (await keys.create(T, "", ["*"], now_ms + days * DAY_MS))[0].key_id for days in (3, 1, 9, 1, 1)
    ]
    await keys.create(T, "", ["*"])
    await keys.revoke(T, revoked)
    new, _ = await keys.rotate(T, rotated, 0)

    async def named(limit=9):
        return {key.key_id for key in await keys.expiring(7 * DAY_MS, DAY_MS, limit)}

    assert await named(limit=1) == {soon}
    assert await named() == {new.key_id, late}
    assert await named() == set()
    clock.wall_ms += DAY_MS - 1
    assert await named() == set()
    clock.wall_ms += 1
    assert await named() == {late}, "the others have expired"
    clock.wall_ms += 2 * DAY_MS
    assert await named() == {other}


async def test_the_key_of_user_tokens_is_replaced(control_plane):
    tenants, directory, clock = control_plane.control.tenants, control_plane.directory, control_plane.clock
    assert await tenants.token_key(T) == await directory.token_key(T) == TokenKey()
    first = await tenants.rotate_token_key(T, 5000)
    assert first == TokenKey(1, clock.now_ms() + 5000)
    second = await tenants.rotate_token_key(T, 0)
    assert second == TokenKey(2, clock.now_ms())
    control_plane.settle()
    assert await tenants.token_key(T) == await directory.token_key(T) == second
    assert await directory.token_key("other") == TokenKey()
