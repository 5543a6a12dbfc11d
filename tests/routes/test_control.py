"""The control API, handler by handler over a real store: its responses, and that a refused call stores nothing."""

import base64

import msgspec
import pytest

from clarion.domain.errors import Conflict, InvalidField, NotFound, Unauthorized
from clarion.domain.limits_processes import BULK_BATCH_LINES
from clarion.domain.permissions import PUBLIC
from clarion.identity.user_tokens import UserTokens
from tests import lookups
from tests.callers import opens
from tests.contract.controls import ControlPlane

ANA = {"email": "ana@example.com", "locale": "pt_BR", "zone": "Europe/Rome", "attributes": {"plan": "pro"}}
MAIL = {"channel": "email", "vendor": "post_office", "settings": {"from_email": "us@example.com"}}
HELLO = {"channels": {"email": {"subject": "Hi {{ name }}", "html": "<b>{{ name }}</b> {{ user.locale }} {{ total }}"}}}


@pytest.fixture
async def control_plane(control_backend, empty, tmp_path):
    control_plane = ControlPlane.copy_of(empty, tmp_path, control_backend)
    await control_plane.call("PUT", "/v1/tenants/acme", {"name": "Acme"})
    yield control_plane
    await control_plane.close()


async def refused(control_plane, method, target, body=None, **query):
    """Return the field that a refusal names."""
    with pytest.raises(InvalidField) as error:
        await control_plane.call(method, target, body, **query)
    return error.value.field


async def test_every_route_needs_what_its_kind_of_caller_has(control_plane):
    kinds = {(route.method, route.path): opens(route.permission) for route in control_plane.routes}
    assert len(kinds) == len(control_plane.routes)
    assert [path for (_, path), kind in kinds.items() if not kind] == ["/v1/workflows/schema"]
    for (_, path), kind in kinds.items():
        assert (kind == "user") == path.startswith(("/v1/me/", "/v1/live/")), path
        assert (kind == "operator") == path.startswith(("/v1/tenants", "/v1/operators")), path
    assert all(
        route.permission.endswith(":read")
        for route in control_plane.routes
        if route.method == "GET" and route.permission != PUBLIC
    )


async def test_a_user_is_put_shown_listed_and_erased(control_plane):
    shown = await control_plane.say("PUT", "/v1/users/ana", ANA)
    assert shown == await control_plane.say("GET", "/v1/users/ana")
    assert shown | ANA | {"locale": "pt-BR", "id": "ana"} == shown
    assert (shown["preferences"], shown["devices"], shown["created_at"]) == ({}, [], "2023-11-14T22:13:20Z")
    assert await control_plane.say("GET", "/v1/users") == {"data": [shown], "next": None}
    assert (await control_plane.call("DELETE", "/v1/users/ana")).status == 204
    for method in ("GET", "DELETE"):
        with pytest.raises(NotFound):
            await control_plane.call(method, "/v1/users/ana")


@pytest.mark.parametrize("change", [{"zone": "Mars"}, {"topics": ["x"]}, {"preferences": {"x": {}}}, {"phone": "1"}])
async def test_a_refused_user_is_not_stored_and_an_older_one_is_as_it_was(control_plane, change):
    await refused(control_plane, "PUT", "/v1/users/ana", ANA | change)
    with pytest.raises(NotFound):
        await control_plane.call("GET", "/v1/users/ana")
    before = await control_plane.say("PUT", "/v1/users/ana", ANA)
    control_plane.clock.wall_ms += 1
    await refused(control_plane, "PUT", "/v1/users/ana", ANA | change)
    assert await control_plane.say("GET", "/v1/users/ana") == before


async def test_preferences_are_replaced_and_name_only_what_exists(control_plane):
    path = "/v1/users/ana/preferences"
    with pytest.raises(NotFound):
        await control_plane.call("PUT", path, {})
    await control_plane.call("PUT", "/v1/users/ana", ANA)
    await control_plane.call("PUT", "/v1/categories/marketing", {})
    wanted = {"marketing": {"*": True, "email": False}, "*": {"sms": False}}
    assert await control_plane.say("PUT", path, wanted) == wanted == await control_plane.say("GET", path)
    assert await refused(control_plane, "PUT", path, {"spam": {"sms": False}}) == "spam"
    assert await refused(control_plane, "PUT", path, {"*": {"fax": False}}) == "*.fax"
    assert await control_plane.say("GET", path) == wanted
    assert await control_plane.say("PUT", path, {}) == {}


async def test_a_tenants_defaults_are_what_planning_reads(control_plane):
    await control_plane.call("PUT", "/v1/preferences/defaults", {"*": {"sms": False}})
    assert await control_plane.say("GET", "/v1/preferences/defaults") == {"*": {"sms": False}}
    assert await refused(control_plane, "PUT", "/v1/preferences/defaults", {"nowhere": {"sms": False}}) == "nowhere"
    control_plane.settle()
    assert await lookups.defaults(control_plane.directory, "acme") == {"*": {"sms": False}}


async def test_devices_are_put_and_removed(control_plane):
    path = "/v1/users/ana/devices/phone"
    with pytest.raises(NotFound):
        await control_plane.call("PUT", path, {"channel": "push", "token": "t"})
    await control_plane.call("PUT", "/v1/users/ana", ANA)
    device = await control_plane.say("PUT", path, {"channel": "push", "token": "t"})
    assert device == {"id": "phone", "channel": "push", "token": "t"}
    assert (await control_plane.say("GET", "/v1/users/ana"))["devices"] == [device]
    assert (await control_plane.call("DELETE", path)).status == 204
    with pytest.raises(NotFound):
        await control_plane.call("DELETE", path)


async def test_a_user_token_speaks_for_its_user_until_it_ends(control_plane):
    with pytest.raises(NotFound):
        await control_plane.call("POST", "/v1/users/ana/tokens")
    await control_plane.call("PUT", "/v1/users/ana", ANA)
    answer = await control_plane.say("POST", "/v1/users/ana/tokens", {"ttl_s": 60})
    now_s = control_plane.clock.now_ms() // 1000
    grant = UserTokens(control_plane.vault).grant(answer["token"], now_s + 59)
    assert (grant.tenant, grant.user_id, grant.generation) == ("acme", "ana", 0)
    with pytest.raises(Unauthorized) as refusal:
        UserTokens(control_plane.vault).grant(answer["token"], now_s + 60)
    assert (refusal.value.reason, refusal.value.counts) == ("token_expired", False)
    assert answer["expires_at"] == "2023-11-14T22:14:20Z"
    for ttl_s in (0, 86_401):
        with pytest.raises(msgspec.ValidationError):
            await control_plane.call("POST", "/v1/users/ana/tokens", {"ttl_s": ttl_s})


async def test_topics_take_users_by_id(control_plane):
    for name in ("ana", "bo"):
        await control_plane.call("PUT", f"/v1/users/{name}", {})
    topic = await control_plane.say("PUT", "/v1/topics/news", {"name": "News"})
    assert topic == await control_plane.say("GET", "/v1/topics/news") and topic["name"] == "News"
    members = "/v1/topics/news/members"
    assert await control_plane.say("POST", members, {"user_ids": ["ana", "bo"]}) == {"added": 2}
    assert await refused(control_plane, "POST", members, {"user_ids": ["ana", "eve"]}) == "user_ids[1]"
    first = await control_plane.say("GET", members, limit="1")
    assert first["data"] == [{"user_id": "ana"}]
    assert await control_plane.say("GET", members, after=first["next"]) == {"data": [{"user_id": "bo"}], "next": None}
    assert await control_plane.say("DELETE", members, {"user_ids": ["bo", "eve"]}) == {"removed": 1}
    assert (await control_plane.call("DELETE", "/v1/topics/news")).status == 204
    for method, target, body in (("GET", members, None), ("POST", members, {"user_ids": ["ana"]})):
        with pytest.raises(NotFound):
            await control_plane.call(method, target, body)


async def test_lists_are_walked_page_by_page(control_plane):
    names = [f"t{number:03}" for number in range(205)]
    for name in names:
        await control_plane.call("PUT", f"/v1/topics/{name}", {})
    seen, query = [], {"limit": "50"}
    while True:
        page = await control_plane.say("GET", "/v1/topics", **query)
        seen += [topic["key"] for topic in page["data"]]
        if page["next"] is None:
            break
        assert len(page["data"]) == 50
        query = {"limit": "50", "after": page["next"]}
    assert seen == names


async def test_a_template_is_compiled_before_it_is_stored(control_plane):
    shown = await control_plane.say("PUT", "/v1/templates/hello", HELLO)
    assert (shown["version"], set(shown["variables"]), shown["channels"]) == (1, {"name", "total"}, HELLO["channels"])
    assert (await lookups.template(control_plane.directory, "acme", "hello")).uses_user
    broken = {"channels": {"email": {"subject": "s", "text": "fine\n{% if x %}"}, "sms": {"body": "{{ x"}}}
    with pytest.raises(InvalidField) as error:
        await control_plane.call("PUT", "/v1/templates/hello", broken)
    assert error.value.code == "template_syntax"
    assert error.value.field in ("channels.email.text", "channels.sms.body")
    assert "line" in error.value.detail
    assert await control_plane.say("GET", "/v1/templates/hello") == shown
    assert (await control_plane.say("PUT", "/v1/templates/hello", HELLO))["version"] == 2


async def test_a_template_names_a_category_that_exists_and_keeps_it_there(control_plane):
    assert await refused(control_plane, "PUT", "/v1/templates/hello", HELLO | {"category": "greetings"}) == "category"
    await control_plane.call("PUT", "/v1/categories/greetings", {"critical": True, "priority": "critical"})
    await control_plane.call("PUT", "/v1/templates/hello", HELLO | {"category": "greetings"})
    with pytest.raises(Conflict):
        await control_plane.call("DELETE", "/v1/categories/greetings")
    await control_plane.call("DELETE", "/v1/templates/hello")
    assert (await control_plane.call("DELETE", "/v1/categories/greetings")).status == 204


async def test_credentials_are_write_only_and_stay_when_left_out(control_plane):
    path = "/v1/providers/mail"
    assert await refused(control_plane, "PUT", path, MAIL) == "credentials.api_key"
    shown = await control_plane.say("PUT", path, MAIL | {"credentials": {"api_key": "hunter2"}})
    assert shown["credentials_set"] == ["api_key"]
    assert shown["settings"] == {"from_email": "us@example.com", "region": "eu", "tracking": False}
    again = await control_plane.say("PUT", path, MAIL | {"priority": 5})
    assert (again["version"], again["priority"], again["credentials_set"]) == (2, 5, ["api_key"])
    answers = [shown, again, await control_plane.say("GET", path), await control_plane.say("GET", "/v1/providers")]
    assert "hunter2" not in repr(answers)
    assert (await lookups.accounts(control_plane.directory, "acme", "email"))[0].credentials == {"api_key": "hunter2"}
    await control_plane.call("PUT", path, MAIL | {"enabled": False})
    control_plane.settle()
    assert await lookups.accounts(control_plane.directory, "acme", "email") == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"vendor": "pigeon"}, "vendor"),
        ({"channel": "sms"}, "vendor"),
        ({"settings": {}}, "settings.from_email"),
        ({"settings": {"from_email": "a\r\nb"}}, "settings.from_email"),
        ({"settings": {"from_email": "a", "region": "mars"}}, "settings.region"),
        ({"settings": {"from_email": "a", "base_url": "mx"}}, "settings.base_url"),
        ({"credentials": {"api_key": "k", "pin": "1"}}, "credentials.pin"),
    ],
)
async def test_a_refused_provider_is_not_stored(control_plane, change, field):
    body = MAIL | {"credentials": {"api_key": "k"}} | change
    assert await refused(control_plane, "PUT", "/v1/providers/mail", body) == field
    assert await control_plane.say("GET", "/v1/providers") == {"data": [], "next": None}


@pytest.mark.parametrize("area", ["topics", "categories", "templates", "providers"])
@pytest.mark.parametrize("name", ["-a", "a b", "a\n", "\u00fc", "x" * 129])
async def test_keys_of_definitions_are_plain(control_plane, area, name):
    body = {"templates": HELLO, "providers": MAIL | {"credentials": {"api_key": "k"}}}.get(area, {})
    assert await refused(control_plane, "PUT", f"/v1/{area}/{name}", body) in ("key", "name")
    assert (await control_plane.say("GET", f"/v1/{area}"))["data"] == []


async def test_suppressions_are_added_found_and_lifted(control_plane):
    path = "/v1/suppressions"
    entry = await control_plane.say("POST", path, {"channel": "email", "address": "Ana@EXAMPLE.com"})
    assert (entry["address"], entry["reason"], entry["expires_at"]) == ("ana@example.com", "manual", None)
    phone = {"channel": "sms", "address": "+1 202 555 0143", "reason": "STOP", "expires_at": "2030-01-01T00:00:00Z"}
    assert (await control_plane.say("POST", path, phone))["address"] == "+12025550143"
    first = await control_plane.say("GET", path, limit="1")
    assert [entry["channel"] for entry in first["data"]] == ["email"]
    second = await control_plane.say("GET", path, after=first["next"])
    assert [entry["channel"] for entry in second["data"]] == ["sms"] and second["next"] is None
    assert len((await control_plane.say("GET", path, channel="sms"))["data"]) == 1
    assert len((await control_plane.say("GET", path, address="Ana@example.com"))["data"]) == 1
    assert await refused(control_plane, "GET", path, channel="fax") == "channel"
    assert await refused(control_plane, "DELETE", path) == "channel"
    assert (await control_plane.call("DELETE", path, channel="email", address="ana@Example.com")).status == 204
    with pytest.raises(NotFound):
        await control_plane.call("DELETE", path, channel="email", address="ana@Example.com")
    for bad in ({"channel": "sms", "address": "12"}, phone | {"expires_at": "2020-01-01T00:00:00Z"}):
        assert await refused(control_plane, "POST", path, bad) in ("address", "expires_at")


async def test_a_key_shows_its_secret_once(control_plane):
    keys = "/v1/tenants/acme/keys"
    made = await control_plane.say("POST", keys, {"scopes": ["users:read"], "name": "ci"})
    key = await control_plane.directory.api_key(made["key"], control_plane.clock.now_ms())
    assert (key.tenant, key.key_id, key.scopes) == ("acme", made["id"], ("users:read",))
    listed = await control_plane.say("GET", keys)
    assert [key["id"] for key in listed["data"]] == [made["id"]] and made["key"] not in repr(listed)
    assert await refused(control_plane, "POST", keys, {"scopes": ["operator"]}) == "scopes[0]"
    assert (
        await refused(control_plane, "POST", keys, {"scopes": ["*"], "expires_at": "2020-01-01T00:00:00Z"})
        == "expires_at"
    )
    with pytest.raises(NotFound):
        await control_plane.call("POST", "/v1/tenants/nobody/keys", {"scopes": ["*"]})
    assert (await control_plane.call("DELETE", f"{keys}/{made['id']}")).status == 204
    assert (await control_plane.say("GET", keys))["data"][0]["revoked_at"] is not None
    with pytest.raises(NotFound):
        await control_plane.call("DELETE", f"{keys}/unknown")


async def test_an_import_stores_the_good_lines_and_names_the_bad(control_plane):
    await control_plane.call("PUT", "/v1/topics/news", {})
    await control_plane.call("PUT", "/v1/categories/marketing", {})
    lines = [
        {"id": "ana", "topics": ["news"], "preferences": {"marketing": {"email": False}}, "zone": "Europe/Rome"},
        {"id": "bo", "topics": ["nowhere"]},
        {"id": "cy", "devices": [{"id": "d", "channel": "push", "token": "t"}]},
        {"id": "di", "zone": "Mars"},
        {"id": "ana", "locale": "de"},
    ]
    text = b"\n".join([msgspec.json.encode(line) for line in lines]) + b"\r\n\n{\n"
    report = await control_plane.import_pieces([text[start : start + 7] for start in range(0, len(text), 7)])
    assert (report["received"], report["stored"], report["failed"]) == (6, 3, 3)
    assert [(error["line"], error["field"]) for error in report["errors"]] == [(2, "topics"), (4, "zone"), (7, None)]
    ana = await control_plane.say("GET", "/v1/users/ana")
    assert (ana["locale"], ana["zone"], ana["preferences"]) == ("de", "", {"marketing": {"email": False}})
    assert [user["id"] for user in (await control_plane.say("GET", "/v1/users"))["data"]] == ["ana", "cy"]
    assert (await control_plane.say("GET", "/v1/topics/news/members"))["data"] == [{"user_id": "ana"}]


async def test_an_import_of_many_batches_is_whole_and_repeating_it_changes_nothing(control_plane):
    count = 2 * BULK_BATCH_LINES + 1
    pieces = [b'{"id": "u%05d", "zone": "Asia/Tokyo"}\n' % number for number in range(count)]
    for _ in range(2):
        report = await control_plane.import_pieces(pieces)
        assert (report["stored"], report["errors"]) == (count, [])
    rows = (await control_plane.directory.page("acme", None, 0, count + 1)).rows
    assert len(rows) == count and len({row[2] for row in rows}) == 1
    assert rows[-1][0] - rows[0][0] == count - 1, "ordinals have no gaps after repeated imports"


async def test_a_cursor_of_another_list_is_refused(control_plane):
    cursor = base64.urlsafe_b64encode(b'["a","b"]').decode()
    assert await refused(control_plane, "GET", "/v1/users", after=cursor) == "after"
