"""Every resource of the control plane tells versions by ETags, refuses what is based on another one, and leaves a row of the audit
for each change."""

import msgspec
import pytest

from clarion.domain.errors import Stale
from clarion.ports.web import Call
from tests.callers import by_key

HELLO = {"channels": {"sms": {"body": "Hi"}}}
BODIES = {
    "/v1/categories/c": ({"critical": True}, {"critical": False}),
    "/v1/templates/t": (HELLO, {"channels": {"sms": {"body": "Hello"}}}),
    "/v1/layouts/l": ({"html": "<p>{{ content }}</p>"}, {"html": "<b>{{ content }}</b>"}),
    "/v1/partials/p": ({"source": "x"}, {"source": "y"}),
    "/v1/brand": ({"name": "Acme"}, {"name": "Acme Ltd"}),
    "/v1/policy": ({"zone": "Europe/Berlin"}, {"zone": "UTC"}),
    "/v1/origins": ({"origins": ["https://a.example.com"]}, {"origins": []}),
    "/v1/segments/s": ({"filter": {"locale": "de"}}, {"filter": {"locale": "en"}}),
    "/v1/event-rules/e": (
        {"event": "a", "notify": [{"to": "data.u", "template": "hello"}]},
        {"event": "b", "notify": [{"to": "data.u", "template": "hello"}]},
    ),
    "/v1/schedules/s": (
        {"to": {"topic": "fans"}, "template": "hello", "cron": "0 9 * * *"},
        {"to": {"topic": "fans"}, "template": "hello", "cron": "0 8 * * *"},
    ),
    "/v1/workflows/w": (
        {"steps": [{"kind": "send", "name": "a", "template": "hello"}]},
        {"steps": [{"kind": "send", "name": "b", "template": "hello"}]},
    ),
}


async def ask(control_plane, method, target, body=None, headers=None, **query):
    route, path = control_plane.find(method, target)
    raw = b"" if body is None else msgspec.json.encode(body)
    decoded = msgspec.json.decode(raw, type=route.body) if raw and route.body else None
    caller = by_key(key_id="ada")
    return await route.handler(Call(caller, path, query, headers or {}, raw, decoded, address="192.0.2.9"))


@pytest.mark.parametrize("target", BODIES)
async def test_a_stale_change_is_refused_and_each_change_is_recorded(control_plane, target):
    await control_plane.call("PUT", "/v1/templates/hello", HELLO)
    await control_plane.control.topics.put("acme", "fans", "")
    documents = control_plane.control.documents
    begun = len(await documents.audit("acme", 0, 99))
    first, second = BODIES[target]
    stored = await ask(control_plane, "PUT", target, first, {"if-none-match": "*"}, reason="to begin with")
    assert stored.headers["ETag"] == (await ask(control_plane, "GET", target)).headers["ETag"] == '"1"'
    changed = await ask(control_plane, "PUT", target, second, {"if-match": '"1"'})
    assert changed.headers["ETag"] == (await ask(control_plane, "GET", target)).headers["ETag"] == '"2"'
    for headers in ({"if-match": '"1"'}, {"if-none-match": "*"}):
        with pytest.raises(Stale) as refused:
            await ask(control_plane, "PUT", target, first, headers)
        assert refused.value.status == 412
    removable = target.count("/") > 2
    if removable:
        with pytest.raises(Stale):
            await ask(control_plane, "DELETE", target, headers={"if-match": '"1"'})
        assert (await ask(control_plane, "DELETE", target, headers={"if-match": '"2"'})).status == 204
    rows = (await documents.audit("acme", 0, 99))[begun:]
    assert len(rows) == 2 + removable
    assert {(tuple(row.actor), row.address) for row in rows} == {(("key", "ada"), "192.0.2.9")}
    assert (rows[0].before, rows[1].before) == (None, rows[0].after)
    assert rows[0].after is not None and rows[1].after not in (None, rows[0].after)
    if removable:
        assert (rows[2].action, rows[2].before, rows[2].after) == (f"{rows[2].kind}.remove", rows[1].after, None)


async def test_versions_of_templates_are_recorded_by_what_was_done(control_plane):
    for text in ("one", "two"):
        await ask(control_plane, "PUT", "/v1/templates/t", {"channels": {"sms": {"body": text}}}, note=text)
    await ask(control_plane, "PUT", "/v1/templates/t", HELLO, publish="false")
    await ask(control_plane, "POST", "/v1/templates/t/rollback", {"note": "no good"})
    rows = await control_plane.control.documents.audit("acme", 0, 9)
    assert [(row.action, row.reason) for row in rows] == [
        ("template.publish", "one"), ("template.publish", "two"), ("template.save", ""), ("template.rollback", "no good"),
    ]  # fmt: skip
    assert msgspec.json.decode(rows[-1].after) == {"newest": 3, "current": 1, "previous": None, "note": "no good"}
    with pytest.raises(Stale):
        await ask(control_plane, "POST", "/v1/templates/t/publish", None, {"if-match": '"3"'})


async def test_secrets_of_a_workflow_are_digests_in_the_audit(control_plane):
    fetch = {
        "kind": "fetch",
        "name": "f",
        "url": "https://example.com/x",
        "headers": {"Authorization": "Bearer hunter22222"},
    }
    steps = [fetch, {"kind": "send", "name": "a", "template": "hello"}]
    await control_plane.call("PUT", "/v1/templates/hello", HELLO)
    await ask(control_plane, "PUT", "/v1/workflows/w", {"steps": steps})
    (row,) = [row for row in await control_plane.control.documents.audit("acme", 0, 9) if row.kind == "workflow"]
    headers = msgspec.json.decode(row.after)["steps"][0]["headers"]["Authorization"]
    assert b"hunter" not in row.after
    assert all(text.startswith("sha256:") for text in headers.values())
