"""Tenants and credentials: another tenant's objects are not found, on every route."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.outside import Api, new_tenant, one, until
from tests.e2e.seed import NOTE

DEVICE = {"channel": "push", "token": "t"}
CONTENT = {"channels": {"sms": {"body": "b"}}}
SANDBOX = {"channel": "sms", "vendor": "sandbox"}
MEMBERS = {"user_ids": ["mine"]}
ABSENT = {
    ("GET", "/v1/notifications/{id}"): None,
    ("GET", "/v1/notifications/{id}/explain"): None,
    ("POST", "/v1/notifications/{id}/cancel"): None,
    ("POST", "/v1/notifications/{id}/seen"): {"user_id": "mine"},
    ("POST", "/v1/notifications/{id}/withdraw"): None,
    ("GET", "/v1/broadcasts/{id}"): None,
    ("GET", "/v1/broadcasts/{id}/deliveries"): None,
    ("POST", "/v1/broadcasts/{id}/pause"): None,
    ("POST", "/v1/broadcasts/{id}/resume"): None,
    ("POST", "/v1/broadcasts/{id}/cancel"): None,
    ("POST", "/v1/broadcasts/{id}/withdraw"): None,
    ("GET", "/v1/dead-letters/{id}"): None,
    ("POST", "/v1/inbox/{id}/seen"): None,
    ("POST", "/v1/inbox/{id}/read"): None,
    ("POST", "/v1/inbox/{id}/unread"): None,
    ("POST", "/v1/inbox/{id}/archive"): None,
    ("POST", "/v1/inbox/{id}/unarchive"): None,
    ("DELETE", "/v1/inbox/{id}"): None,
    ("GET", "/v1/users/{id}"): None,
    ("DELETE", "/v1/users/{id}"): None,
    ("POST", "/v1/users/{id}/tokens"): {},
    ("GET", "/v1/users/{id}/preferences"): None,
    ("PUT", "/v1/users/{id}/preferences"): {},
    ("GET", "/v1/users/{id}/consents"): None,
    ("GET", "/v1/users/{id}/quiet-hours"): None,
    ("PUT", "/v1/users/{id}/quiet-hours"): {"windows": []},
    ("DELETE", "/v1/users/{id}/quiet-hours"): None,
    ("PUT", "/v1/users/{id}/devices/{device_id}"): DEVICE,
    ("DELETE", "/v1/users/{id}/devices/{device_id}"): None,
    ("GET", "/v1/topics/{key}"): None,
    ("DELETE", "/v1/topics/{key}"): None,
    ("GET", "/v1/topics/{key}/members"): None,
    ("POST", "/v1/topics/{key}/members"): MEMBERS,
    ("DELETE", "/v1/topics/{key}/members"): MEMBERS,
    ("GET", "/v1/categories/{key}"): None,
    ("DELETE", "/v1/categories/{key}"): None,
    ("GET", "/v1/templates/{key}"): None,
    ("DELETE", "/v1/templates/{key}"): None,
    ("GET", "/v1/templates/{key}/versions"): None,
    ("GET", "/v1/templates/{key}/versions/{version}"): None,
    ("GET", "/v1/templates/{key}/diff"): None,
    ("POST", "/v1/templates/{key}/publish"): {},
    ("POST", "/v1/templates/{key}/rollback"): {},
    ("POST", "/v1/templates/{key}/preview"): {},
    ("POST", "/v1/templates/{key}/test"): {"channel": "sms", "address": "+14155550777"},
    ("GET", "/v1/templates/{key}/translations"): None,
    ("GET", "/v1/templates/{key}/translations/{locale}"): None,
    ("PUT", "/v1/templates/{key}/translations/{locale}"): None,
    ("GET", "/v1/layouts/{key}"): None,
    ("DELETE", "/v1/layouts/{key}"): None,
    ("GET", "/v1/partials/{key}"): None,
    ("DELETE", "/v1/partials/{key}"): None,
    ("GET", "/v1/workflows/{key}"): None,
    ("DELETE", "/v1/workflows/{key}"): None,
    ("GET", "/v1/segments/{key}"): None,
    ("DELETE", "/v1/segments/{key}"): None,
    ("GET", "/v1/segments/{key}/preview"): None,
    ("GET", "/v1/schedules/{key}"): None,
    ("DELETE", "/v1/schedules/{key}"): None,
    ("POST", "/v1/schedules/{key}/pause"): None,
    ("POST", "/v1/schedules/{key}/resume"): None,
    ("GET", "/v1/event-rules/{key}"): None,
    ("DELETE", "/v1/event-rules/{key}"): None,
    ("GET", "/v1/providers/{name}"): None,
    ("GET", "/v1/providers/{name}/health"): None,
    ("POST", "/v1/providers/{name}/reset"): None,
    ("DELETE", "/v1/providers/{name}"): None,
    ("GET", "/v1/tenants/{id}"): None,
    ("GET", "/v1/tenants/{id}/keys"): None,
    ("POST", "/v1/tenants/{id}/keys"): {"scopes": ["*"]},
    ("GET", "/v1/tenants/{id}/keys/{key_id}"): None,
    ("POST", "/v1/tenants/{id}/keys/{key_id}/rotate"): {"overlap_s": 60},
    ("PUT", "/v1/tenants/{id}/keys/{key_id}/networks"): {"networks": []},
    ("DELETE", "/v1/tenants/{id}/keys/{key_id}"): None,
    ("GET", "/v1/tenants/{id}/quota"): None,
    ("PUT", "/v1/tenants/{id}/quota"): {"daily": 1},
    ("GET", "/v1/tenants/{id}/keys/{key_id}/quota"): None,
    ("PUT", "/v1/tenants/{id}/keys/{key_id}/quota"): {"daily": 1},
}
"""Routes on which a thing that the caller does not have is 404, with a body that is good in itself."""
OWN = {
    ("PUT", "/v1/users/{id}"): {"attributes": {"of": "intruder"}},
    ("PUT", "/v1/topics/{key}"): {"name": "intruder"},
    ("PUT", "/v1/categories/{key}"): {},
    ("PUT", "/v1/templates/{key}"): CONTENT,
    ("PUT", "/v1/layouts/{key}"): {"html": "<p>{{ content }}</p>"},
    ("PUT", "/v1/partials/{key}"): {"source": "intruder"},
    ("PUT", "/v1/providers/{name}"): SANDBOX,
    ("PUT", "/v1/workflows/{key}"): {"steps": [{"kind": "delay", "name": "rest", "for": "1h"}]},
    ("PUT", "/v1/segments/{key}"): {"filter": {"locale": "de"}},
    ("PUT", "/v1/schedules/{key}"): {"to": {"user_id": "mine"}, "cron": "0 9 * * *", "template": "mine"},
    ("PUT", "/v1/event-rules/{key}"): {"event": "x", "notify": [{"to": "'mine'", "template": "mine"}]},
    ("PUT", "/v1/tenants/{id}"): {"name": "renamed"},
}
"""Routes that create: the caller gets a thing of that name of their own."""
SIGNED = {
    (method, path)
    for method in ("GET", "POST")
    for path in ("/v1/receipts/{tenant}/{provider}", "/v1/unsubscribe/{token}")
}
"""Routes for providers and mail clients: `test_receipts.py` and the contract tests of unsubscribing have their stories, those of two
tenants too."""
OPERATORS = "/v1/tenants"
PEOPLE = (
    "/v1/audit",
    "/v1/roles",
    "/v1/members",
    "/v1/invitations",
    "/v1/session",
    "/v1/operators",
    "/v1/tenants/{id}/invitations",
)
"""Routes for people who are signed in: `test_roles.py` calls them with each role, and with what belongs to another tenant."""
PAGES = ("/sign-in", "/sign-out", "/tenant", "/invitations/", "/reset/", "/account")
"""Pages on which people sign in: `tests/security/test_people_accounts.py`."""


@pytest.fixture(scope="module")
def victim(operator):
    """Return a tenant with one object of each kind; `things` has the parameters of its paths."""
    tenant = new_tenant(operator, "victim").seed_data({"secret": NOTE}, ["sms"])
    tenant.sandbox("sms", by_address={"+14155550666": "transient"})
    tenant.user("eve", phone="+14155550666", attributes={"of": "victim"}, devices=[{"id": "phone", **DEVICE}])
    tenant.put("/v1/topics/secret", {"name": "victim"})
    tenant.post("/v1/topics/secret/members", {"user_ids": ["eve"]})
    tenant.put("/v1/categories/secret", {"priority": "high"})
    tenant.put("/v1/layouts/secret", {"html": "<b>{{ content }}</b>"})
    tenant.put("/v1/partials/secret", {"source": "victim"})
    tenant.put("/v1/users/eve/quiet-hours", {"windows": []})
    tenant.put("/v1/workflows/secret", {"steps": [{"kind": "send", "name": "tell", "template": "secret"}]})
    tenant.put("/v1/segments/secret", {"filter": {"topic": "secret"}})
    daily = {"to": {"topic": "secret"}, "cron": "0 9 * * *", "template": "secret", "data": {"text": "t"}}
    tenant.put("/v1/schedules/secret", daily)
    tenant.put("/v1/event-rules/secret", {"event": "x", "notify": [{"to": "'eve'", "template": "secret"}]})
    result = tenant.send_and_wait("eve", "secret", {"text": "t"})
    broadcast = {"audience": {"all": True}, "template": "secret", "data": {"text": "t"}, "channels": ["inapp"]}
    started = tenant.post("/v1/broadcasts", broadcast)["id"]
    until(lambda: tenant.get(f"/v1/broadcasts/{started}")["status"] == "done", "the broadcast is done")
    inbox = tenant.inbox_of("eve")
    until(lambda: len(inbox.get("/v1/inbox")["data"]) == 2, "both messages are in the inbox")
    key = one(operator.pages(f"/v1/tenants/{tenant.name}/keys"))["id"]
    by_channel = {delivery["channel"]: delivery["id"] for delivery in result["deliveries"]}
    tenant.things = {
        "notifications": {"id": result["id"]},
        "broadcasts": {"id": started},
        "dead-letters": {"id": by_channel["sms"]},
        "inbox": {"id": by_channel["inapp"]},
        "users": {"id": "eve", "device_id": "phone"},
        "topics": {"key": "secret"},
        "categories": {"key": "secret"},
        "templates": {"key": "secret", "version": "1", "locale": "de"},
        "layouts": {"key": "secret"},
        "partials": {"key": "secret"},
        "workflows": {"key": "secret"},
        "segments": {"key": "secret"},
        "schedules": {"key": "secret"},
        "event-rules": {"key": "secret"},
        "providers": {"name": "sandbox-sms"},
        "tenants": {"id": tenant.name, "key_id": key},
    }
    tenant.inbox_of("eve").get("/v1/inbox")
    until(lambda: tenant.get("/v1/users/eve")["last_seen_at"] is not None, "it is noted that eve was there")
    return tenant


@pytest.fixture(scope="module")
def intruder(operator):
    tenant = new_tenant(operator, "intruder")
    tenant.put("/v1/templates/mine", CONTENT)
    tenant.user("mine")
    return tenant


def everything(tenant, operator):
    """Return the victim's objects, as the victim reads them."""
    names = (
        "notifications", "users", "topics", "templates", "categories", "providers", "dead-letters", "workflows", "segments",
        "schedules", "event-rules", "layouts", "partials",
    )  # fmt: skip
    found = {name: list(tenant.pages(f"/v1/{name}")) for name in names}
    found["one"] = [tenant.get(f"/v1/{name}/{place['id']}") for name, place in tenant.things.items()
                    if name in ("notifications", "broadcasts", "dead-letters")]  # fmt: skip
    found["members"] = list(tenant.pages("/v1/topics/secret/members"))
    found["inbox"] = tenant.inbox_of("eve").get("/v1/inbox")
    keys = operator.pages(f"/v1/tenants/{tenant.name}/keys")
    found["keys"] = [{name: key[name] for name in key if not name.startswith("last_used")} for key in keys]
    return found


def filled(path, things):
    kind = path.split("/")[2]
    return re.sub(r"\{(\w+)\}", lambda name: things[kind][name[1]], path)


def unknown_of(things):
    """Return parameters of the same form for objects that do not exist."""

    def other(text):
        return text[:-4] + ("0000" if text[3:4] == "_" else "none")

    return {kind: {name: other(text) for name, text in place.items()} for kind, place in things.items()}


def client_for(path, intruder, operator):
    """Return a client with the scope of the route, for the wrong tenant."""
    if path.startswith(OPERATORS):
        return operator
    return intruder.inbox_of("mine") if path.startswith("/v1/inbox") else intruder


def described(api):
    paths = api.call("GET", "/openapi.json").json["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}


def test_every_route_with_an_id_has_its_entry(operator):
    named = {route for route in described(operator) if "{" in route[1] and not route[1].startswith((*PEOPLE, *PAGES))}
    assert named == set(ABSENT) | set(OWN) | SIGNED


@pytest.mark.parametrize(("method", "path"), [route for route in ABSENT if not route[1].startswith(OPERATORS)])
def test_what_another_tenant_has_is_answered_as_what_nobody_has(victim, intruder, operator, method, path):
    before = everything(victim, operator)
    client, body = client_for(path, intruder, operator), ABSENT[method, path]
    theirs, nobodys = filled(path, victim.things), filled(path, unknown_of(victim.things))
    known, unknown = client.refused(404, method, theirs, body), client.refused(404, method, nobodys, body)
    assert known["code"] == unknown["code"]
    kind, hidden = path.split("/")[2], str(unknown)
    for name, text in unknown_of(victim.things)[kind].items():
        hidden = hidden.replace(text, victim.things[kind][name])
    assert str(known) == hidden
    assert everything(victim, operator) == before


@pytest.mark.parametrize(("method", "path"), [route for route in OWN if not route[1].startswith(OPERATORS)])
def test_a_name_that_another_tenant_uses_is_free(victim, intruder, operator, method, path):
    before = everything(victim, operator)
    place = filled(path, victim.things)
    assert intruder.call(method, place, OWN[method, path]).status == 200
    assert everything(victim, operator) == before
    intruder.delete(place)
    assert everything(victim, operator) == before


@pytest.mark.parametrize(("method", "path"), [route for route in [*ABSENT, *OWN] if route[1].startswith(OPERATORS)])
def test_tenants_are_the_operators_alone(victim, intruder, operator, method, path):
    body = (ABSENT | OWN)[method, path]
    before = everything(victim, operator)
    for who in (intruder, victim):
        assert who.refused(403, method, filled(path, victim.things), body)["code"] == "forbidden"
    if (method, path) in ABSENT:
        operator.refused(404, method, filled(path, unknown_of(victim.things)), body)
    assert everything(victim, operator) == before


def test_a_key_is_revoked_only_through_its_own_tenant(victim, intruder, operator):
    key = victim.things["tenants"]["key_id"]
    operator.refused(404, "DELETE", f"/v1/tenants/{intruder.name}/keys/{key}")
    assert victim.call("GET", "/v1/users").status == 200


def test_ids_of_another_tenant_in_bodies_and_queries_are_unknown_too(victim, intruder, operator):
    before = everything(victim, operator)
    intruder.seed_data({"mine": NOTE}, ["sms"])
    send = {"to": "eve", "template": "mine", "data": {"text": "t"}}
    assert intruder.refused(422, "POST", "/v1/notifications", send)["code"] == "unknown_user"
    send = {"to": "mine", "template": "secret", "data": {"text": "t"}}
    assert intruder.refused(422, "POST", "/v1/notifications", send)["code"] == "unknown_template"
    send = {"to": "mine", "template": "mine", "data": {"text": "t"}, "category": "secret"}
    assert intruder.refused(422, "POST", "/v1/notifications", send)["code"] == "unknown_category"
    send = {"audience": {"topic": "secret"}, "template": "mine", "data": {"text": "t"}}
    assert intruder.refused(422, "POST", "/v1/broadcasts", send)["code"] == "unknown_topic"
    letter = victim.things["dead-letters"]["id"]
    replayed = intruder.post("/v1/dead-letters/replay", {"ids": [letter]})["results"]
    assert replayed == [{"id": letter, "status": "not_found"}]
    assert intruder.post("/v1/dead-letters/replay", {"filter": {}})["results"] == []
    assert intruder.get("/v1/notifications")["data"] == []
    assert intruder.captured() == []
    assert everything(victim, operator) == before


def test_an_inbox_token_of_a_user_of_the_same_name_opens_only_its_tenants_inbox(victim, operator):
    twin = new_tenant(operator, "twin")
    twin.user("eve")
    assert twin.inbox_of("eve").get("/v1/inbox")["data"] == []
    twin.inbox_of("eve").refused(404, "POST", f"/v1/inbox/{victim.things['inbox']['id']}/read")


CREDENTIALS = {
    "none": None,
    "empty": "",
    "nonsense": "nonsense",
    "of the right form": "clk_" + "A" * 43,
    "dots": "..",
    "long": "x" * 5_000,
    "not ASCII": "schl\u00fcssel",
}


NAMED = {"of the right form": "key_mistyped", "dots": "token_header_refused"}


@pytest.mark.parametrize("name", CREDENTIALS)
@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_a_wrong_credential_opens_nothing(operator, name, scheme):
    given = {} if CREDENTIALS[name] is None else {"Authorization": f"{scheme} {CREDENTIALS[name]}"}
    anyone = Api(operator.port)
    code = NAMED.get(name, "unauthorized") if scheme == "Bearer" else "unauthorized"
    for path in ("/v1/users", "/v1/tenants", "/v1/inbox", "/v1/users/eve"):
        problem = anyone.refused(401, "GET", path, headers=given)
        assert (problem["code"], problem["field"]) == (code, "Authorization")
        assert not CREDENTIALS[name] or CREDENTIALS[name] not in problem["detail"]
    assert anyone.call("GET", "/v1/users", headers=given).headers["www-authenticate"] == "Bearer"


def test_every_route_but_the_public_ones_wants_a_credential(operator):
    anyone = Api(operator.port)
    public = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/v1/workflows/schema"}
    signed = {"/v1/unsubscribe/{token}": 404}
    for method, path in described(operator):
        if path.startswith(PAGES):
            continue
        answer = anyone.call(method, re.sub(r"\{\w+\}", "x", path))
        assert answer.status == (200 if path in public else signed.get(path, 401)), (method, path)


def test_scopes_say_what_a_key_may_do(victim, operator):
    reader = new_key(victim, operator, ["users:read", "notifications:read"])
    assert [user["id"] for user in reader.pages("/v1/users")] == ["eve"]
    before = everything(victim, operator)
    for method, path, body in (
        ("PUT", "/v1/users/eve", {}),
        ("DELETE", "/v1/users/eve", None),
        ("POST", "/v1/users/bulk", b"{}"),
        ("POST", "/v1/users/eve/tokens", {}),
        ("POST", "/v1/notifications", {"to": "eve", "template": "secret", "data": {"text": "t"}}),
        ("POST", "/v1/broadcasts", {"audience": {"all": True}, "template": "secret", "data": {"text": "t"}}),
        ("POST", "/v1/dead-letters/replay", {"filter": {}}),
        ("GET", "/v1/providers", None),
        ("PUT", "/v1/providers/sandbox-sms", SANDBOX),
        ("GET", "/v1/templates", None),
        ("GET", "/v1/suppressions", None),
        ("PUT", "/v1/preferences/defaults", {}),
    ):
        problem = reader.refused(403, method, path, body)
        assert problem["code"] == "forbidden"
        assert "scope" in problem["detail"]
    assert everything(victim, operator)["users"] == before["users"]
    assert everything(victim, operator)["notifications"] == before["notifications"]


def test_scopes_of_a_key_are_checked(victim, operator):
    path = f"/v1/tenants/{victim.name}/keys"
    for scopes, field in (([], "scopes"), (["nope"], "scopes[0]"), (["*", "operator"], "scopes[1]"), ("*", "scopes")):
        assert operator.refused(422, "POST", path, {"scopes": scopes})["field"] == field
    past = {"scopes": ["*"], "expires_at": "2020-01-01T00:00:00Z"}
    assert operator.refused(422, "POST", path, past)["field"] == "expires_at"
    for id_ in ("Upper", "under_score", "-edge", "x" * 64):
        assert operator.refused(422, "PUT", f"/v1/tenants/{id_}", {})["field"] == "id"


def test_a_key_ends_when_it_says_or_when_it_is_revoked(victim, operator):
    soon = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    ending, revoked = new_key(victim, operator, ["*"], expires_at=soon), new_key(victim, operator, ["*"])
    assert ending.call("GET", "/v1/users").status == revoked.call("GET", "/v1/users").status == 200
    path = f"/v1/tenants/{victim.name}/keys"
    operator.delete(f"{path}/{revoked.id}")
    for client in (ending, revoked):
        until(lambda: client.call("GET", "/v1/users").status == 401, "the key is over", 5)  # noqa: B023
        assert client.refused(401, "GET", "/v1/users")["code"] == "unauthorized"
    listed = {key["id"]: key for key in operator.pages(path)}
    assert listed[revoked.id]["revoked_at"]
    assert all("key" not in key for key in listed.values())


def new_key(tenant, operator, scopes, **more):
    made = operator.post(f"/v1/tenants/{tenant.name}/keys", {"scopes": scopes, **more})
    client = Api(operator.port, made["key"])
    client.id = made["id"]
    return client
