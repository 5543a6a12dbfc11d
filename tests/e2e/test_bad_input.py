"""Bad input: a 4xx that names field and reason, and nothing is stored."""

import json
import socket

import pytest

from tests.e2e.outside import HOST, one, until
from tests.e2e.seed import NOTE, WELCOME

MIB = 1024 * 1024
GOOD = {"to": "ada", "template": "note", "data": {"text": "hello"}}
LONG = "x" * 129


def deep(levels, inner="1"):
    """Return JSON text of lists nested to this depth."""
    return ("[" * levels + inner + "]" * levels).encode()


def chunked(body, size=65_536):
    """Yield the body in chunks, which are sent without a Content-Length."""
    return (body[at : at + size] for at in range(0, len(body), size))


@pytest.fixture(scope="module")
def home(operator):
    from tests.e2e.outside import new_tenant

    tenant = new_tenant(operator).seed_data({"note": NOTE, "welcome": WELCOME}, ["sms", "email", "push"])
    tenant.user("ada", phone="+14155550101", email="ada@example.com", attributes={"city": "London"})
    tenant.put("/v1/categories/news", {})
    tenant.put("/v1/topics/runners", {})
    return tenant


def stored(tenant):
    """Return everything that a refused request could have stored."""
    lists = ("users", "topics", "templates", "categories", "providers", "suppressions", "dead-letters", "notifications")
    found = {name: list(tenant.pages(f"/v1/{name}")) for name in lists}
    found["captures"] = tenant.captured()
    found["preferences"] = tenant.get("/v1/users/ada/preferences")
    found["members"] = list(tenant.pages("/v1/topics/runners/members"))
    return found


@pytest.fixture
def unchanged(home):
    """Check that a test stored nothing."""
    before = stored(home)
    yield home
    assert stored(home) == before


NOTIFICATIONS = {
    "unknown template": ({"template": "nope"}, 422, "template", "unknown_template"),
    "no template": ({"template": None}, 422, "template", "invalid_field"),
    "unknown workflow": ({"workflow": "nope", "template": None}, 422, "workflow", "unknown_workflow"),
    "unknown category": ({"category": "nope"}, 422, "category", "unknown_category"),
    "unknown user": ({"to": "nobody"}, 422, "to", "unknown_user"),
    "unknown user by id": ({"to": {"user_id": "nobody"}}, 422, "to", "unknown_user"),
    "unknown user of many": ({"to": ["ada", "nobody"]}, 422, "to[1]", "unknown_user"),
    "unknown field": ({"colour": "red"}, 422, "colour", "invalid_field"),
    "missing variable": ({"data": {}}, 422, "data.text", "invalid_field"),
    "to is a number": ({"to": 7}, 422, "to", "invalid_field"),
    "to holds a number": ({"to": ["ada", 7]}, 422, "to", "invalid_field"),
    "to is nobody": ({"to": []}, 422, "to", "invalid_field"),
    "recipient without contact": ({"to": {}}, 422, "to", "invalid_field"),
    "recipient with both": ({"to": {"user_id": "ada", "phone": "+14155550101"}}, 422, "to", "invalid_field"),
    "unknown contact": ({"to": {"fax": "1"}}, 422, "to.fax", "invalid_field"),
    "1,001 recipients": ({"to": ["ada"] * 1001}, 422, "to", "invalid_field"),
    "no such locale": ({"to": {"phone": "+14155550101", "locale": "xx-YY"}}, 422, "to.locale", "unknown_locale"),
    "bad phone": ({"to": {"phone": "12345"}}, 422, "to.phone", "invalid_field"),
    "impossible phone": ({"to": {"phone": "+1"}}, 422, "to.phone", "invalid_field"),
    "bad e-mail": ({"to": {"email": "ada@"}}, 422, "to.email", "invalid_field"),
    "bad e-mail of many": ({"to": ["ada", {"email": "a b@example.com"}]}, 422, "to[1].email", "invalid_field"),
    "CRLF in an e-mail": ({"to": {"email": "ada@example.com\r\nBcc: x@example.com"}}, 422, "to.email", "invalid_field"),
    "LF in a token": ({"to": {"push": "token\nX: y"}}, 422, "to.push", "invalid_field"),
    "bad webhook": ({"to": {"webhook": "ftp://example.com"}}, 422, "to.webhook", "invalid_field"),
    "data is a list": ({"data": []}, 422, "data", "invalid_field"),
    "deep data": ({"data": {"text": json.loads(deep(70))}}, 422, "data.text", "invalid_field"),
    "unknown channel": ({"channels": ["pigeon"]}, 422, "channels", "invalid_field"),
    "no channels": ({"channels": []}, 422, "channels", "invalid_field"),
    "no content": ({"channels": ["chat"]}, 422, "channels", "invalid_field"),
    "unknown priority": ({"priority": "asap"}, 422, "priority", "invalid_field"),
    "send_at without zone": ({"send_at": "2030-01-01T00:00:00"}, 422, "send_at", "invalid_field"),
    "send_at is no time": ({"send_at": "soon"}, 422, "send_at", "invalid_field"),
    "send_at too far": ({"send_at": "2999-01-01T00:00:00Z"}, 422, "send_at", "invalid_field"),
    "expired": ({"expires_at": "2020-01-01T00:00:00Z"}, 422, "expires_at", "invalid_field"),
    "long template": ({"template": LONG}, 422, "template", "invalid_field"),
    "long user": ({"to": LONG}, 422, "to", "invalid_field"),
    "long idempotency key": ({"idempotency_key": "x" * 256}, 422, "idempotency_key", "invalid_field"),
    "empty idempotency key": ({"idempotency_key": ""}, 422, "idempotency_key", "invalid_field"),
    "long ordering key": ({"ordering_key": LONG}, 422, "ordering_key", "invalid_field"),
    "CR in the ordering key": ({"ordering_key": "a\rb"}, 422, "ordering_key", "invalid_field"),
    "CRLF in metadata": ({"metadata": {"a": "b\r\nX: y"}}, 422, "metadata.a", "invalid_field"),
    "LF in a metadata name": ({"metadata": {"a\nb": "c"}}, 422, "metadata.a\nb", "invalid_field"),
    "metadata too long": ({"metadata": {"a": "x" * 501}}, 422, "metadata", "invalid_field"),
    "metadata is a number": ({"metadata": {"a": 1}}, 422, "metadata", "invalid_field"),
    "too much metadata": ({"metadata": {f"k{n}": "v" for n in range(51)}}, 422, "metadata", "invalid_field"),
    "lone surrogate": ({"to": {"push": "\ud800"}}, 400, None, "malformed_body"),
    "lone surrogate in data": ({"data": {"text": "\ud800"}}, 400, None, "malformed_body"),
}


@pytest.mark.parametrize("name", NOTIFICATIONS)
def test_a_bad_notification_is_refused_by_field(home, name):
    change, status, field, code = NOTIFICATIONS[name]
    body = {key: value for key, value in (GOOD | change).items() if value is not None}
    problem = home.refused(status, "POST", "/v1/notifications", body)
    assert problem["code"] == code
    # A value in a list or map is named at least by the list or map.
    assert problem.get("field") == field or (field and problem.get("field", "").startswith(f"{field}["))


def test_all_of_them_left_nothing_behind(home, operator):
    assert list(home.pages("/v1/notifications")) == []
    assert home.captured() == []
    assert home.get("/v1/counters")["data"] == []


def test_bad_items_of_a_batch_are_refused_alone(home):
    names = [name for name in NOTIFICATIONS if NOTIFICATIONS[name][1] != 400 and name != "1,001 recipients"]
    bad = [{k: v for k, v in (GOOD | NOTIFICATIONS[name][0]).items() if v is not None} for name in names]
    items = [item for pair in zip([GOOD] * len(bad), bad, strict=True) for item in pair] + [7, "x", None, [], GOOD]
    results = home.post("/v1/notifications/batch", {"notifications": items})["results"]
    assert len(results) == len(items)
    for name, result in zip(names, results[1::2], strict=False):
        _, _, field, code = NOTIFICATIONS[name]
        assert result["status"] == "refused", name
        assert "id" not in result
        assert result["error"]["code"] == code
        assert result["error"].get("field", "").startswith(field)
        assert result["error"]["detail"]
    assert [result["error"]["code"] for result in results[-5:-1]] == ["invalid_field"] * 4
    accepted = [result["id"] for result in results if result["status"] == "accepted"]
    assert len(accepted) == len(set(accepted)) == len(bad) + 1
    for id_ in accepted:
        home.ended(id_)
    assert {item["id"] for item in home.pages("/v1/notifications")} == set(accepted)
    assert len(home.captured()) == len(accepted)


BROADCASTS = {
    "no audience": ({}, "audience"),
    "two audiences": ({"audience": {"all": True, "topic": "runners"}}, "audience"),
    "neither": ({"audience": {}}, "audience"),
    "unknown topic": ({"audience": {"topic": "nope"}}, "audience.topic"),
    "unknown template": ({"audience": {"all": True}, "template": "nope"}, "template"),
    "missing variable": ({"audience": {"all": True}, "data": {}}, "data.text"),
    "to": ({"audience": {"all": True}, "to": "ada"}, "to"),
}


@pytest.mark.parametrize("name", BROADCASTS)
def test_a_bad_broadcast_is_refused_by_field(unchanged, name):
    change, field = BROADCASTS[name]
    body = {"template": "note", "data": {"text": "t"}} | change
    assert unchanged.refused(422, "POST", "/v1/broadcasts", body)["field"] == field


CONTROL = {
    "user: phone": ("PUT", "/v1/users/eve", {"phone": "555"}, "phone"),
    "user: e-mail": ("PUT", "/v1/users/eve", {"email": "no"}, "email"),
    "user: zone": ("PUT", "/v1/users/eve", {"zone": "Mars/Olympus"}, "zone"),
    "user: locale": ("PUT", "/v1/users/eve", {"locale": "xx-YY"}, "locale"),
    "user: topic": ("PUT", "/v1/users/eve", {"topics": ["nope"]}, "topics"),
    "user: unknown field": ("PUT", "/v1/users/eve", {"nick": "e"}, "nick"),
    "user: type": ("PUT", "/v1/users/eve", {"attributes": []}, "attributes"),
    "user: id": ("PUT", f"/v1/users/{LONG}", {}, "id"),
    "user: header in id": ("PUT", "/v1/users/eve%0d%0aX", {}, "id"),
    "user: attributes": ("PUT", "/v1/users/eve", {"attributes": {"a": "x" * 33_000}}, "attributes"),
    "user: chat": ("PUT", "/v1/users/eve", {"chat": "a\nb"}, "chat"),
    "user: preference": ("PUT", "/v1/users/eve", {"preferences": {"nope": {"sms": False}}}, "preferences.nope"),
    "preferences: channel": ("PUT", "/v1/users/ada/preferences", {"news": {"fax": False}}, "news.fax"),
    "preferences: type": ("PUT", "/v1/users/ada/preferences", {"news": {"sms": "no"}}, None),
    "device: token": ("PUT", "/v1/users/ada/devices/d", {"channel": "push"}, "token"),
    "device: kind": ("PUT", "/v1/users/ada/devices/d", {"channel": "sms", "token": "t"}, "channel"),
    "device: line": ("PUT", "/v1/users/ada/devices/d", {"channel": "push", "token": "a\r\nb"}, "token"),
    "topic: name": ("PUT", "/v1/topics/new", {"name": "a\nb"}, "name"),
    "topic: key": ("PUT", "/v1/topics/-new", {}, "key"),
    "topic: members": ("POST", "/v1/topics/runners/members", {"user_ids": ["ada", "nobody"]}, "user_ids[1]"),
    "topic: nobody": ("POST", "/v1/topics/runners/members", {"user_ids": []}, "user_ids"),
    "category: channel": ("PUT", "/v1/categories/new", {"defaults": {"fax": False}}, "defaults.fax"),
    "category: critical": ("PUT", "/v1/categories/new", {"critical": True, "defaults": {"sms": False}}, "defaults"),
    "template: none": ("PUT", "/v1/templates/new", {"channels": {}}, "channels"),
    "template: channel": ("PUT", "/v1/templates/new", {"channels": {"fax": {}}}, "channels.fax"),
    "template: part": ("PUT", "/v1/templates/new", {"channels": {"sms": {"text": "t"}}}, "channels.sms.text"),
    "template: needs": ("PUT", "/v1/templates/new", {"channels": {"email": {"subject": "s"}}}, "channels.email"),
    "template: header": (
        "PUT", "/v1/templates/new", {"channels": {"email": {"subject": "a\r\nBcc: b", "text": "t"}}},
        "channels.email.subject",
    ),
    "template: syntax": ("PUT", "/v1/templates/new", {"channels": {"sms": {"body": "{% if %}"}}}, "channels.sms.body"),
    "template: category": (
        "PUT", "/v1/templates/new", {"channels": {"sms": {"body": "b"}}, "category": "nope"}, "category",
    ),
    "provider: vendor": ("PUT", "/v1/providers/new", {"channel": "sms", "vendor": "nope"}, "vendor"),
    "provider: channel": ("PUT", "/v1/providers/new", {"channel": "fax", "vendor": "sandbox"}, "channel"),
    "provider: setting": (
        "PUT", "/v1/providers/new", {"channel": "sms", "vendor": "sandbox", "settings": {"x": 1}}, "settings.x",
    ),
    "provider: needs": (
        "PUT", "/v1/providers/new", {"channel": "email", "vendor": "smtp", "settings": {"from_email": "a@example.com"}},
        "settings.host",
    ),
    "provider: header": (
        "PUT", "/v1/providers/new",
        {"channel": "email", "vendor": "smtp",
         "settings": {"host": "mail", "from_email": "a@example.com", "from_name": "a\r\nBcc: b"}},
        "settings.from_name",
    ),
    "preview: version": ("POST", "/v1/templates/hello/preview", {"version": 1 << 63}, "version"),
    "test: version": (
        "POST", "/v1/templates/hello/test",
        {"channel": "sms", "address": "+14155550100", "version": 1 << 63}, "version",
    ),
    "suppression: reason": (
        "POST", "/v1/suppressions", {"channel": "sms", "address": "+14155550100", "reason": ""}, "reason",
    ),
    "suppression: address": ("POST", "/v1/suppressions", {"channel": "sms", "address": "1"}, "address"),
    "suppression: past": (
        "POST", "/v1/suppressions",
        {"channel": "chat", "address": "a", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at",
    ),
    "replay: both": ("POST", "/v1/dead-letters/replay", {"ids": ["dlv_1"], "filter": {}}, "ids"),
    "replay: reason": ("POST", "/v1/dead-letters/replay", {"filter": {"reason": "x"}}, "filter.reason"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTROL)
def test_a_bad_definition_is_refused_by_field(unchanged, name):
    method, path, body, field = CONTROL[name]
    problem = unchanged.refused(422, method, path, body)
    assert problem.get("field") == field


BODIES = {
    "nothing": b"",
    "not JSON": b"{to: ada}",
    "half": b'{"to": "ada", "template": "no',
    "not UTF-8": b'{"to": "\xff\xfe"}',
    "two values": b'{"to": "ada", "template": "note"} {}',
    "NaN": b'{"to": "ada", "template": "note", "data": {"text": NaN}}',
    "unclosed": b'{"to": "ada", "template": "note", "data": {"text": ' + b"[" * 2_000,
}


@pytest.mark.parametrize("name", BODIES)
def test_a_malformed_body_is_refused_whole(unchanged, name):
    assert unchanged.refused(400, "POST", "/v1/notifications", BODIES[name])["code"] == "malformed_body"


@pytest.mark.parametrize("path", ["/v1/notifications/batch", "/v1/broadcasts", "/v1/suppressions"])
@pytest.mark.parametrize("body", [b"", b"{x", b'{"', b"\xff"])
def test_every_other_endpoint_refuses_malformed_bodies_too(home, path, body):
    assert home.refused(400, "POST", path, body)["code"] == "malformed_body"


@pytest.mark.parametrize(("levels", "statuses"), [(1_000, (400, 422)), (20_000, (400, 422)), (100_000, (413,))])
@pytest.mark.parametrize(
    ("method", "path", "frame"),
    [
        ("POST", "/v1/notifications", b'{"to": "ada", "template": "note", "data": {"text": %b}}'),
        ("POST", "/v1/notifications", b"%b"),
        ("POST", "/v1/broadcasts", b'{"audience": {"all": true}, "template": "note", "data": {"text": %b}}'),
        ("PUT", "/v1/users/eve", b'{"attributes": {"a": %b}}'),
        ("PUT", "/v1/templates/new", b'{"channels": {"push": {"data": %b}}}'),
        ("PUT", "/v1/providers/new", b'{"channel": "sms", "vendor": "sandbox", "settings": {"by_attempt": %b}}'),
    ],
)
def test_json_nested_too_deep_is_refused(unchanged, method, path, frame, levels, statuses):
    answer = unchanged.call(method, path, frame % deep(levels))
    assert answer.status in statuses, answer
    assert answer.json["detail"]


def test_an_item_nested_too_deep_is_refused_alone(home):
    items = b'{"to": "ada", "template": "note", "data": {"text": %b}}'
    body = b'{"notifications": [%b, %b, %b]}' % (items % deep(1_000), items % b'"fine"', items % deep(70))
    results = home.post("/v1/notifications/batch", body)["results"]
    assert [result["status"] for result in results] == ["refused", "accepted", "refused"]
    assert one(home.ended(results[1]["id"])["deliveries"][:1])["state"] in ("sent", "skipped")


def padded(size):
    """Return a notification of exactly this size in bytes."""
    frame = b'{"to": "ada", "template": "note", "channels": ["inapp"], "data": {"text": "t"}, "metadata": {}%b}'
    return frame % (b" " * (size - len(frame) + 2))


@pytest.mark.parametrize("send", [lambda body: body, chunked], ids=["with length", "chunked"])
def test_a_body_over_its_bound_is_refused(unchanged, send):
    problem = unchanged.refused(413, "POST", "/v1/notifications", send(padded(MIB + 1)))
    assert problem["code"] == "too_large"
    assert str(MIB) in problem["detail"]
    problem = unchanged.refused(413, "POST", "/v1/notifications/batch", send(b" " * (16 * MIB + 1)))
    assert str(16 * MIB) in problem["detail"]


def test_a_body_at_its_bound_is_taken(home):
    id_ = home.post("/v1/notifications", padded(MIB))["id"]
    assert one(home.ended(id_)["deliveries"])["channel"] == "inapp"
    one_item = json.dumps(GOOD | {"metadata": {}}).encode()
    body = b'{"notifications": [%b%b]}' % (one_item, b" " * (MIB + 10))
    assert home.post("/v1/notifications/batch", chunked(body))["results"][0]["status"] == "accepted"


def test_an_item_over_the_bound_of_one_is_refused_alone(home):
    big = json.dumps(GOOD | {"data": {"text": "x" * MIB}})
    results = home.post("/v1/notifications/batch", f'{{"notifications": [{big}, {json.dumps(GOOD)}]}}'.encode())
    first, second = results["results"]
    assert (first["status"], first["error"]["code"]) == ("refused", "too_large")
    assert second["status"] == "accepted"


def test_1001_items_are_refused_and_1000_are_taken(home):
    problem = home.refused(422, "POST", "/v1/notifications/batch", {"notifications": [GOOD] * 1001})
    assert problem["field"] == "notifications"
    assert home.refused(422, "POST", "/v1/notifications/batch", {"notifications": []})["field"] == "notifications"
    results = home.post("/v1/notifications/batch", {"notifications": [GOOD | {"to": "nobody"}] * 1000})["results"]
    assert len(results) == 1000
    assert {result["error"]["code"] for result in results} == {"unknown_user"}


@pytest.mark.parametrize("break_", ["\r\n", "\n", "\r", "\u2028", "\x00", "\x85"])
def test_data_cannot_put_a_line_into_a_header(home, break_):
    response = home.send_and_wait(
        "ada", "welcome", {"name": f"Eve{break_}Bcc: all@example.com", "code": "1"}, channels=["email"]
    )
    delivery = one(response["deliveries"])
    assert (delivery["state"], delivery["reason"]) == ("failed", "render_failed")
    assert "subject" in delivery["detail"]
    assert "line" in delivery["detail"]
    assert not [m for m in home.captured(channel="email") if m["delivery_id"] == delivery["id"]]


def test_wrong_methods_and_paths_are_problems_too(home):
    answer = home.call("PATCH", "/v1/notifications")
    assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST"}
    for path in ("/v1/nothing", "/v1/notifications/", "/", "/v1/users//x", "/v1/notifications/%00"):
        home.refused(404, "GET", path)


@pytest.mark.parametrize("path", ["/v1/users/%ff", "/v1/users/%EF%BF%BD%fe", "/v1/users?after=%ff"])
def test_invalid_utf_8_never_identifies_another_user(unchanged, path):
    unchanged.refused(400, "GET", path)
    if "?" not in path:
        unchanged.refused(400, "PUT", path, {"phone": "+14155550100"})


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        ("/v1/notifications", "state", "gone"),
        ("/v1/notifications", "channel", "fax"),
        ("/v1/notifications", "created_from", "yesterday"),
        ("/v1/notifications", "limit", "1000"),
        ("/v1/notifications", "after", "zzz"),
        ("/v1/users", "limit", "²"),
        ("/v1/users", "after", "eA"),
        ("/v1/dead-letters", "reason", "bad luck"),
        ("/v1/dead-letters", "replayed", "maybe"),
        ("/v1/suppressions", "channel", "fax"),
        ("/v1/sandbox/messages", "channel", "fax"),
        ("/v1/counters", "from", "2026-01-01T00:00:00"),
        ("/v1/topics/runners/members", "limit", ""),
    ],
)
def test_a_bad_query_is_refused_by_name(home, path, field, value):
    assert home.refused(422, "GET", path, query={field: value})["field"] == field


def test_bulk_import_reports_each_bad_line_and_stores_the_others(home):
    lines = [
        b'{"id": "u1", "phone": "+14155550111"}',
        b"not json",
        b'{"id": "u2", "phone": "1"}',
        b"",
        b'{"phone": "+14155550111"}',
        b'{"id": "u3", "zone": "Mars/Olympus"}',
        b'{"id": "u4", "attributes": {"a": %b}}' % deep(1_000),
        b'{"id": "u5", "attributes": {"a": "%b"}}' % (b"x" * 300_000),
        b'{"id": "u6", "topics": ["runners"], "preferences": {"news": {"sms": false}}}',
        b'{"id": "u7", "email": 5}',
    ]
    report = home.post("/v1/users/bulk", chunked(b"\n".join(lines), 1_000))
    assert (report["received"], report["stored"], report["failed"]) == (9, 2, 7)
    assert [(error["line"], error["field"]) for error in report["errors"]] == [
        (2, None), (3, "phone"), (5, "id"), (6, "zone"), (7, None), (8, None), (10, "email"),
    ]  # fmt: skip
    assert all(error["reason"] for error in report["errors"])
    assert {user["id"] for user in home.pages("/v1/users")} == {"ada", "u1", "u6"}
    assert [member["user_id"] for member in home.pages("/v1/topics/runners/members")] == ["u6"]
    for id_ in ("u1", "u6"):
        home.delete(f"/v1/users/{id_}")
    until(lambda: not list(home.pages("/v1/topics/runners/members")), "the erased user is out of the topic")


def test_what_is_no_http_is_refused_and_hardly_logged(home, system):
    for _ in range(20):
        with socket.create_connection((HOST, home.port)) as connection:
            connection.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    log = (system.folder / "clarion.log").read_text(errors="replace")
    assert log.count("Invalid HTTP request received.") <= 2
