"""Keys over HTTP: a mistyped key, addresses, rotation, and what of that is in the security log."""

from datetime import UTC, datetime, timedelta

import pytest

from clarion.domain.security_events import SecurityEvent
from tests.security.api import OPERATOR_KEY

KEYS = "/v1/tenants/acme/keys"


async def key_of(api, **fields):
    return (await api.ok("POST", KEYS, {"scopes": ["*"], **fields}, key=OPERATOR_KEY)).json


async def listed(api):
    return {key["id"]: key for key in (await api.ok("GET", KEYS, key=OPERATOR_KEY)).json["data"]}


async def test_a_mistyped_key_is_refused_without_a_lookup(api, monkeypatch):
    def lookup(*_asked):
        raise AssertionError("looked up")

    key = (await key_of(api))["key"]
    monkeypatch.setattr(api.parts.directory, "_key", lookup)
    for wrong in (key[:-1], key[:30] + ("a" if key[30] != "a" else "b") + key[31:], OPERATOR_KEY):
        secret = wrong + "0" if wrong == OPERATOR_KEY else wrong
        answer = await api.call("GET", "/v1/users", key=secret)
        assert (answer.status, answer.json["code"]) == (401, "key_mistyped")
        assert secret not in answer.body.decode()
    assert (await api.call("GET", "/v1/users", key="nonsense")).json["code"] == "unauthorized"


async def test_a_key_is_refused_from_an_address_that_it_does_not_name(api):
    key = await key_of(api, networks=["192.0.2.0/24", "2001:db8::/32"])
    for client in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8:1::2"):
        assert (await api.call("GET", "/v1/users", key=key["key"], client=client)).status == 200
    api.events.clear()
    for client in ("198.51.100.1", "::ffff:198.51.100.1", "2001:db9::1", "::192.0.2.9", None):
        answer = await api.call("GET", "/v1/users", key=key["key"], client=client)
        assert (answer.status, answer.json["code"]) == (403, "address_refused"), client
        fields = {"tenant": "acme", "key_id": key["id"], "peer": client or ""}
        assert api.events.pop() == (SecurityEvent.ADDRESS_REFUSED, fields)
        assert "192.0.2.0" not in answer.json["detail"]
    await api.ok("PUT", f"{KEYS}/{key['id']}/networks", {"networks": []}, key=OPERATOR_KEY)
    assert (await api.call("GET", "/v1/users", key=key["key"], client=None)).status == 200


@pytest.mark.parametrize("networks", [["192.0.2.1/24"], ["x"], ["10.0.0.0/8"] * 33])
async def test_networks_are_checked(api, networks):
    key = await key_of(api)
    for method, path, body in (("POST", KEYS, {"scopes": ["*"]}), ("PUT", f"{KEYS}/{key['id']}/networks", {})):
        answer = await api.call(method, path, body | {"networks": networks}, key=OPERATOR_KEY)
        assert answer.status == 422 and answer.json["field"].startswith("networks")


async def test_the_operator_rotates_a_key(api):
    old = await key_of(api, name="ci", networks=["127.0.0.0/8"])
    api.events.clear()
    new = (await api.ok("POST", f"{KEYS}/{old['id']}/rotate", {"overlap_s": 60}, key=OPERATOR_KEY)).json
    assert [(event.value, fields["key_id"]) for event, fields in api.events] == [
        ("key_rotated", old["id"]), ("key_created", new["id"]),
    ]  # fmt: skip
    assert new["key"] not in repr(api.events)
    for key in (old, new):
        await api.ok("GET", "/v1/users", key=key["key"])
    assert (new["name"], new["networks"], new["replaces"]) == ("ci", ["127.0.0.0/8"], old["id"])
    now = (await listed(api))[old["id"]]
    assert (now["replaced_by"], now["state"]) == (new["id"], "expires_soon")
    assert 55 <= now["expires_in_s"] <= 60
    again = await api.call("POST", f"{KEYS}/{old['id']}/rotate", {"overlap_s": 60}, key=OPERATOR_KEY)
    assert (again.status, again.json["code"]) == (409, "key_already_rotated")
    await api.ok("POST", f"{KEYS}/{new['id']}/rotate", {"overlap_s": 0}, key=OPERATOR_KEY)
    assert (await api.call("GET", "/v1/users", key=new["key"])).status == 401, "no overlap"
    for path, body in (
        (f"{KEYS}/none/rotate", {"overlap_s": 0}),
        (f"/v1/tenants/other/keys/{old['id']}/rotate", {"overlap_s": 0}),
    ):
        assert (await api.call("POST", path, body, key=OPERATOR_KEY)).status == 404
    for overlap in (-1, 31 * 24 * 3600, 1.5, None):
        path, body = f"{KEYS}/{old['id']}/rotate", {"overlap_s": overlap}
        assert (await api.call("POST", path, body, key=OPERATOR_KEY)).json["field"] == "overlap_s"


async def test_a_key_rotates_itself_if_it_may(api):
    path, body = "/v1/keys/current/rotate", {"overlap_s": 60}
    plain = await key_of(api, scopes=["users:read"])
    assert (await api.call("POST", path, body, key=plain["key"])).status == 403
    old = await key_of(api, scopes=["keys:rotate", "users:read"])
    new = (await api.ok("POST", path, body, key=old["key"])).json
    assert (new["replaces"], new["scopes"]) == (old["id"], old["scopes"])
    assert (await api.call("POST", path, body, key=old["key"])).status == 409
    await api.ok("GET", "/v1/users", key=new["key"])
    assert (await api.call("POST", path, body, key=OPERATOR_KEY)).status == 403


async def test_creating_and_revoking_are_recorded(api):
    api.events.clear()
    key = await key_of(api)
    await api.ok("DELETE", f"{KEYS}/{key['id']}", key=OPERATOR_KEY)
    fields = {"tenant": "acme", "key_id": key["id"]}
    assert api.events == [(SecurityEvent.KEY_CREATED, fields), (SecurityEvent.KEY_REVOKED, fields)]
    assert (await listed(api))[key["id"]]["state"] == "revoked"


async def test_changes_of_networks_quotas_and_origins_are_recorded_with_who_made_them(api):
    key = await key_of(api)
    networks, quota = f"{KEYS}/{key['id']}/networks", {"daily": 5}
    api.events.clear()
    await api.ok("PUT", networks, {"networks": ["192.0.2.0/24"]}, key=OPERATOR_KEY)
    await api.ok("PUT", "/v1/tenants/acme/quota", quota, key=OPERATOR_KEY)
    await api.ok("PUT", f"{KEYS}/{key['id']}/quota", quota, key=OPERATOR_KEY)
    await api.ok("PUT", networks, {"networks": []}, key=OPERATOR_KEY)
    await api.ok("PUT", "/v1/origins", {"origins": ["https://app.example.com"]}, key=key["key"])
    of_key = {"tenant": "acme", "key_id": key["id"], "by": "operator"}
    assert [one for one in api.events if one[0] != SecurityEvent.KEY_FROM_NEW_NETWORK] == [
        (SecurityEvent.KEY_NETWORKS_CHANGED, of_key),
        (SecurityEvent.QUOTA_CHANGED, {"tenant": "acme", "by": "operator"}),
        (SecurityEvent.QUOTA_CHANGED, of_key),
        (SecurityEvent.KEY_NETWORKS_CHANGED, of_key),
        (SecurityEvent.ORIGINS_CHANGED, {"tenant": "acme", "by": key["id"]}),
    ]
    api.events.clear()
    for path, body in (
        (networks, {"networks": ["x"]}),
        (f"{KEYS}/none/networks", {"networks": []}),
        ("/v1/tenants/acme/quota", {"daily": -1}),
    ):
        assert (await api.call("PUT", path, body, key=OPERATOR_KEY)).status in (404, 422)
    assert (await api.call("PUT", "/v1/origins", {"origins": ["*"]}, key=key["key"])).status == 422
    assert api.events == []


async def test_a_key_shows_when_and_from_where_it_was_used(api):
    key = await key_of(api)
    assert ((await listed(api))[key["id"]]["last_used_at"], key["last_used_from"]) == (None, None)
    for client in ("2001:db8:1:2::3", "192.0.2.9"):
        await api.call("GET", "/v1/users", key=key["key"], client=client)
        await api.identity.uses.store(everything=True)
    one = (await api.ok("GET", f"{KEYS}/{key['id']}", key=OPERATOR_KEY)).json
    assert [used["network"] for used in one["used_from"]] == ["192.0.2.0/24", "2001:db8:1::/48"]
    assert (one["last_used_from"], one["last_used_at"]) == ("192.0.2.0/24", one["used_from"][0]["last_used_at"])
    assert "192.0.2.9" not in repr(one) + repr(api.events)
    assert (await api.call("GET", f"/v1/tenants/other/keys/{key['id']}", key=OPERATOR_KEY)).status == 404


async def test_answers_to_a_key_that_expires_say_when(api):
    expires = (datetime.now(UTC) + timedelta(days=9)).replace(microsecond=0).isoformat()
    key = await key_of(api, expires_at=expires)
    for path in ("/v1/users", "/v1/users/ada"):
        assert (await api.ok("GET", path, key=key["key"])).headers["clarion-key-expires-at"] == expires
    for path, credential in (("/v1/users", "acme"), ("/v1/tenants", OPERATOR_KEY)):
        assert "clarion-key-expires-at" not in (await api.ok("GET", path, key=credential)).headers
