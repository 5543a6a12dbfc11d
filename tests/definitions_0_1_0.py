"""Templates, categories, layouts and partials as version 0.1.0 stored them, and what is read of them once they are documents."""

import json

from clarion.domain.channel import Channel
from clarion.domain.errors import Conflict
from clarion.domain.workflow import Workflow
from tests import lookups

T = "acme"
SCHEMAS = {"sqlite": "control_0008", "postgres": "postgres_0003"}
"""The newest schema of version 0.1.0."""
AT = 1_600_000_000_000
RULES = {"hold_max": "1h", "route": {"first": ["sms", "email"]}}
STEP = {"kind": "send", "name": "hi", "template": "hello"}
SCHEDULE = {"to": {"segment": "loose"}, "cron": "0 9 * * 1", "workflow": "flow"}
RULE = {"event": "signed.up", "notify": [{"to": "data.id", "template": "draft@1", "category": "plain"}]}
LAYOUT = {"html": "<p>{{ content }}</p>{% partial foot %}", "text": "{{ content }}"}


def source(text: str, **more) -> str:
    return json.dumps({"channels": {"sms": {"body": text}}, **more})


def built(key: str, version: int, text: str, **more) -> str:
    parts = {"sms": {"body": text}}
    return json.dumps({"key": key, "version": version, "category": None, "parts": parts, **more})


def _version(key, number, place, published, text, category=None, tenant=T, **more):
    note = f'note "{number}"'
    at = AT + number
    return (
        tenant, key, number, category, place, 1 + number, at, "ada", at + 100 if published else None,
        "bob" if published else None, note if published else "", source(text, category=category, **more),
        built(key, number, text, category=category),
    )  # fmt: skip


ROWS = {
    "categories": (
        "tenant key critical lane defaults rules",
        [(T, "plain", 0, "normal", "{}", "{}"), (T, "news", 1, "high", '{"sms":true}', json.dumps(RULES))],
    ),
    "templates": (
        "tenant key newest current removed",
        [(T, "hello", 4, 1, 0), (T, "draft", 1, None, 0), (T, "gone", 7, None, 1), ("other", "hello", 1, 1, 0)],
    ),
    "template_versions": (
        "tenant key version category place builds created_ms created_by published_ms published_by note source built",
        [
            _version("hello", 1, 2, True, "one {% partial toe %}", "news", layout="house"),
            _version("hello", 2, 1, True, "two"),
            _version("hello", 3, None, True, "three \u0000 ü"),
            _version("hello", 4, None, False, "four", "plain"),
            _version("draft", 1, None, False, "draft"),
            _version("hello", 1, 1, True, "theirs", tenant="other"),
        ],
    ),
    "definitions": (
        "tenant kind key version removed created_ms updated_ms body",
        [
            (T, "layout", "house", 1, 1, AT, AT, json.dumps({"html": "<i>{{ content }}</i>"})),
            (T, "layout", "house", 2, 0, AT, AT + 5, json.dumps(LAYOUT)),
            (T, "layout", "old", 3, 1, AT, AT, json.dumps(LAYOUT)),
            (T, "partial", "foot", 1, 0, AT, AT, '{"source":"{{> toe}}","engine":"handlebars"}'),
            (T, "partial", "toe", 1, 0, AT, AT, '{"source":"toe"}'),
            (T, "workflow", "flow", 1, 1, AT, AT, json.dumps({"steps": [STEP], "name": "before"})),
            (T, "workflow", "flow", 2, 0, AT, AT + 7, json.dumps({"steps": [STEP]})),
            (T, "workflow", "ended", 1, 1, AT, AT, json.dumps({"steps": [STEP]})),
            (T, "policy", "tenant", 3, 0, AT, AT, '{"zone":"Europe/Berlin","locale":"de"}'),
            (T, "segment", "germans", 1, 0, AT, AT, '{"filter":{"locale":"de"}}'),
            (T, "segment", "loose", 1, 0, AT, AT, '{"filter":{"locale":"de"}}'),
            (T, "schedule", "weekly", 1, 1, AT, AT, json.dumps(SCHEDULE)),
            (T, "schedule", "weekly", 2, 0, AT, AT, json.dumps(SCHEDULE | {"to": {"segment": "germans"}})),
            (T, "event_rule", "greet", 1, 0, AT, AT, json.dumps(RULE)),
        ],
    ),
}
"""Rows by table: names of columns, and values. Flags are 0 or 1."""


async def check(control_plane) -> None:
    """Assert that all of it is there, is sent as before, and can be changed."""
    say, directory = control_plane.say, control_plane.directory
    await directory.refresh()
    for name, version, text in (
        ("hello", 1, "one {% partial toe %}"),
        ("hello@3", 3, "three \0 ü"),
        ("hello@4", 4, "four"),
    ):
        template = await lookups.template(directory, T, name)
        assert (template.key, template.version, template.parts[Channel.SMS]["body"]) == (name, version, text)
    assert (await lookups.template(directory, "other", "hello")).parts[Channel.SMS]["body"] == "theirs"
    assert await lookups.template(directory, T, "gone") is await lookups.template(directory, T, "draft") is None

    shown = await say("GET", "/v1/templates/hello/versions/1")
    assert (shown["status"], shown["current"], shown["category"], shown["layout"]) == (
        "published",
        True,
        "news",
        "house",
    )
    assert (shown["created_by"], shown["published_by"], shown["note"]) == ("ada", "bob", 'note "1"')
    assert (shown["created_at"], shown["published_at"]) == (
        "2020-09-13T12:26:40.001000Z",
        "2020-09-13T12:26:40.101000Z",
    )
    listed = (await say("GET", "/v1/templates/hello/versions"))["data"]
    assert [(one["version"], one["status"], one["current"]) for one in listed] == [
        (4, "draft", False), (3, "published", False), (2, "published", False), (1, "published", True),
    ]  # fmt: skip
    assert [(one["key"], one["version"]) for one in (await say("GET", "/v1/templates"))["data"]] == [
        ("draft", 1), ("hello", 1),
    ]  # fmt: skip
    news, plain = (await say("GET", "/v1/categories"))["data"]
    assert (news["key"], news["critical"], news["priority"], news["defaults"]) == ("news", True, "high", {"sms": True})
    assert (news["hold_max"], news["route"]["first"]) == ("1h", ["sms", "email"])
    assert (plain["key"], plain["critical"], plain["priority"], plain["hold_max"]) == ("plain", False, "normal", "24h")
    category = await lookups.category(directory, T, "news")
    assert (category.critical, category.rules.hold_max, category.defaults) == (True, "1h", {"sms": True})
    layout = await say("GET", "/v1/layouts/house")
    assert (layout["version"], layout["html"], layout["updated_at"]) == (
        2,
        LAYOUT["html"],
        "2020-09-13T12:26:40.005000Z",
    )
    assert [one["key"] for one in (await say("GET", "/v1/layouts"))["data"]] == ["house"]
    assert [one["key"] for one in (await say("GET", "/v1/partials"))["data"]] == ["foot", "toe"]

    flow = await say("GET", "/v1/workflows/flow")
    assert (flow["version"], flow["updated_at"], flow.get("name")) == (2, "2020-09-13T12:26:40.007000Z", None)
    assert (await say("GET", "/v1/workflows/flow", version="1"))["name"] == "before"
    assert (await lookups.definition(directory, T, Workflow, "flow")).version == 2
    for name, version in (("flow", 1), ("flow", 2), ("ended", 1)):
        assert (await lookups.definition(directory, T, Workflow, name, version)).version == version
    assert await lookups.definition(directory, T, Workflow, "ended") is None
    assert (await say("GET", "/v1/policy"))["zone"] == "Europe/Berlin"
    assert [one["key"] for one in (await say("GET", "/v1/segments"))["data"]] == ["germans", "loose"]
    assert (await say("PUT", "/v1/workflows/ended", {"steps": [STEP]}))["version"] == 2

    used = (
        "layouts/house", "partials/foot", "partials/toe", "categories/news", "categories/plain", "templates/hello",
        "templates/draft", "workflows/flow", "segments/germans",
    )  # fmt: skip
    for target in used:
        try:
            await control_plane.call("DELETE", f"/v1/{target}")
        except Conflict as error:
            assert error.code == "in_use"
        else:
            raise AssertionError(target)
    assert (await say("POST", "/v1/templates/hello/rollback"))["version"] == 2
    assert (await say("POST", "/v1/templates/hello/publish"))["version"] == 4
    assert (await say("PUT", "/v1/templates/gone", {"channels": {"sms": {"body": "x"}}}))["version"] == 8
    assert (await say("PUT", "/v1/layouts/old", {"html": "<b>{{ content }}</b>"}))["version"] == 4
    for target in ("categories/news", "segments/loose"):
        assert (await control_plane.call("DELETE", f"/v1/{target}")).status == 204
    await directory.refresh()
    assert (await lookups.template(directory, T, "hello")).version == 4
