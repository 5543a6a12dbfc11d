"""Templates over the API: stored versions, their descriptions, and that a refused call stores nothing."""

import msgspec
import pytest

from clarion.app.wiring.engines import template_engines
from clarion.content.drafting import DirectDrafting
from clarion.control.templates.editor import Editor
from clarion.control.templates.reads import Templates
from clarion.domain.channel import Channel
from clarion.domain.errors import CallerError, Conflict, Forbidden, InvalidField, NotFound
from clarion.domain.template import Layout, Partial, Source
from clarion.languages.jsonschema.schemas import JsonSchemas
from clarion.ports.web import Call
from clarion.resources.changing import Changing
from tests import lookups
from tests.callers import by_key
from tests.registries import put_shared

PATH = "/v1/templates/hello"
HELLO = {
    "description": "Says hello",
    "channels": {"sms": {"body": "{% t greeting %} {{ order.number }}"}},
    "locales": {
        "en": {"messages": {"greeting": "Hi"}},
        "pt_br": {
            "messages": {"greeting": "Oi"},
            "channels": {"sms": {"body": "{% t greeting %}! {{ order.number }}"}},
        },
    },
    "sample": {"data": {"order": {"number": "A-1"}}},
}
SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "object", "properties": {"number": {"type": "number"}}, "required": ["number"]}},
    "required": ["order"],
}


async def refused(control_plane, body, **query):
    """Return the error of a refused template, after a check that nothing of it is stored."""
    with pytest.raises(CallerError) as error:
        await control_plane.call("PUT", "/v1/templates/refused", body, **query)
    assert (await control_plane.say("GET", "/v1/templates"))["data"] == []
    return error.value.status, error.value.field, error.value.code


async def put(control_plane, body=HELLO, **query):
    return await control_plane.say("PUT", PATH, body, **query)


async def test_publishing_at_once_needs_the_permission_to_publish(control_plane):
    route, path = control_plane.find("PUT", PATH)
    drafts = by_key(permissions={"templates:write"})
    body = msgspec.convert(HELLO, route.body)
    for query in ({}, {"publish": "true"}):
        with pytest.raises(Forbidden, match="templates:publish") as refusal:
            await route.handler(Call(drafts, path, query, {}, b"", body))
        assert refusal.value.field == "publish"
    assert await sent(control_plane) is None
    reply = await route.handler(Call(drafts, path, {"publish": "false"}, {}, b"", body))
    assert (reply.body.status, await sent(control_plane)) == ("draft", None)


async def sent(control_plane):
    await control_plane.directory.refresh()
    template = await lookups.template(control_plane.directory, "acme", "hello")
    return template and (template.version, template.parts)


async def test_a_stored_template_says_what_it_is_and_is_sent(control_plane):
    shown = await put(control_plane, note="first")
    assert shown == await control_plane.say("GET", PATH)
    assert (shown["key"], shown["version"], shown["status"], shown["current"]) == ("hello", 1, "published", True)
    assert (shown["created_by"], shown["published_by"], shown["note"]) == ("key", "key", "first")
    assert shown["created_at"] == shown["published_at"] == "2023-11-14T22:13:20Z"
    assert shown["channels"] == HELLO["channels"] and shown["sample"] == HELLO["sample"]
    assert shown["locales"]["pt-BR"]["messages"] == {"greeting": "Oi"}
    assert (shown["variables"], shown["inferred"], shown["warnings"]) == (["order"], True, [])
    assert shown["schema"]["properties"]["order"]["required"] == ["number"]
    assert await sent(control_plane) == (1, {"sms": {"body": "Hi {{ order.number }}"}})


async def test_a_draft_is_sent_to_nobody_until_it_is_published(control_plane):
    draft = await put(control_plane, publish="false")
    assert (draft["version"], draft["status"], draft["current"]) == (1, "draft", False)
    assert (draft["published_at"], draft["published_by"], await sent(control_plane)) == (None, None, None)
    assert await control_plane.say("GET", PATH) == await control_plane.say("GET", PATH, version="draft") == draft
    published = await control_plane.say("POST", f"{PATH}/publish", {"note": "go"})
    assert (published["version"], published["current"], published["note"]) == (1, True, "go")
    with pytest.raises(NotFound):
        await control_plane.call("GET", PATH, version="draft")
    changed = await put(control_plane, HELLO | {"description": "Says it again"}, publish="false")
    assert (changed["version"], (await sent(control_plane))[0]) == (2, 1)
    assert (await control_plane.say("GET", PATH))["version"] == 1
    assert (
        await control_plane.say("GET", PATH, version="draft")
        == changed
        == await control_plane.say("GET", PATH, version="2")
    )
    assert await control_plane.say("GET", f"{PATH}/versions/2") == changed


async def test_going_back_is_at_once_and_by_who_asked(control_plane):
    for body in ("one", "two", "three"):
        await put(control_plane, {"channels": {"sms": {"body": body}}})
    back = await control_plane.say("POST", f"{PATH}/rollback")
    assert (back["version"], back["status"], back["current"]) == (2, "published", True)
    assert await sent(control_plane) == (2, {"sms": {"body": "two"}})
    assert (await control_plane.say("POST", f"{PATH}/rollback", {"note": "further"}))["note"] == "further"
    with pytest.raises(Conflict) as nowhere:
        await control_plane.call("POST", f"{PATH}/rollback")
    assert nowhere.value.code == "nothing_to_roll_back_to"
    assert (await control_plane.say("POST", f"{PATH}/rollback", {"version": 3}))["current"]
    listed = (await control_plane.say("GET", f"{PATH}/versions"))["data"]
    assert [(one["version"], one["current"]) for one in listed] == [(3, True), (2, False), (1, False)]
    assert (await sent(control_plane))[0] == 3


async def test_a_draft_cannot_be_gone_back_to_and_no_version_but_those_there_are(control_plane):
    await put(control_plane)
    await put(control_plane, publish="false")
    with pytest.raises(Conflict) as draft:
        await control_plane.call("POST", f"{PATH}/rollback", {"version": 2})
    assert (draft.value.field, draft.value.code) == ("version", "not_published")
    for verb in ("publish", "rollback"):
        with pytest.raises(NotFound):
            await control_plane.call("POST", f"{PATH}/{verb}", {"version": 9})
        with pytest.raises(NotFound):
            await control_plane.call("POST", f"/v1/templates/nobody/{verb}")
    paths = ("/v1/templates/nobody", "/v1/templates/nobody/versions")
    for target in (*paths, *(f"{PATH}/versions/{version}" for version in ("9", "x", "0", "1234567890123"))):
        with pytest.raises(NotFound):
            await control_plane.call("GET", target)
    with pytest.raises(NotFound):
        await control_plane.call("GET", f"{PATH}/diff", to="9")
    assert (await sent(control_plane))[0] == 1


@pytest.mark.parametrize(
    ("target", "query", "field"),
    [
        ("", {"version": "newest"}, "version"),
        ("", {"version": "1234567890123"}, "version"),
        ("/versions", {"after": "WyJ4Il0"}, "after"),
        ("/versions", {"limit": "0"}, "limit"),
        ("/diff", {"from": "-1"}, "from"),
        ("/diff", {"to": "²"}, "to"),
    ],
)
async def test_what_is_no_version_is_named(control_plane, target, query, field):
    await put(control_plane)
    with pytest.raises(InvalidField) as error:
        await control_plane.call("GET", f"{PATH}{target}", **query)
    assert error.value.field == field


async def test_versions_are_walked_page_by_page(control_plane):
    for number in range(5):
        await put(control_plane, {"channels": {"sms": {"body": str(number)}}})
    seen, query = [], {"limit": "2"}
    while query:
        page = await control_plane.say("GET", f"{PATH}/versions", **query)
        seen += [one["version"] for one in page["data"]]
        query = page["next"] and {"limit": "2", "after": page["next"]}
    assert seen == [5, 4, 3, 2, 1]


async def test_a_diff_goes_field_by_field(control_plane):
    await put(control_plane, {"channels": {"sms": {"body": "one\ntwo\nthree"}}, "text": "t"})
    after = {"channels": {"sms": {"body": "one\n2\nthree"}, "inapp": {"title": "x"}}, "variables": {"type": "object"}}
    await put(control_plane, after, publish="false")
    diff = await control_plane.say("GET", f"{PATH}/diff")
    assert (diff["from"], diff["to"]) == (1, 2)
    assert [(one["field"], one["kind"]) for one in diff["changes"]] == [
        ("channels.inapp.title", "added"), ("channels.sms.body", "changed"), ("text", "removed"), ("variables", "added"),
    ]  # fmt: skip
    assert diff["changes"][1]["lines"] == ["@@ -1,3 +1,3 @@", " one", "-two", "+2", " three"]
    back = await control_plane.say("GET", f"{PATH}/diff", **{"from": "2", "to": "1"})
    assert back["changes"][0] == {"field": "channels.inapp.title", "kind": "removed", "lines": ["@@ -1 +0,0 @@", "-x"]}
    assert (await control_plane.say("GET", f"{PATH}/diff", **{"from": "2", "to": "2"}))["changes"] == []


async def test_versions_are_built_again_with_the_layout_of_now(control_plane):
    control = control_plane.control
    frame = "<html><body>{} {{{{ content }}}}{{% partial foot %}}</body></html>"
    body = {"channels": {"email": {"subject": "s", "html": "<p>x</p>"}}, "layout": "frame"}
    assert await refused(control_plane, body) == (422, "layout", "unknown_layout")
    await put_shared(control, "acme", "foot", Partial("<i>{% partial toe %}</i>"))
    await put_shared(control, "acme", "toe", Partial("toe"))
    await put_shared(control, "acme", "frame", Layout(html=frame.format("old")))
    await put(control_plane, body)
    assert (
        "old" in (await sent(control_plane))[1]["email"]["html"]
        and "<i>toe</i>" in (await sent(control_plane))[1]["email"]["html"]
    )
    await put(control_plane, HELLO)
    await put_shared(control, "acme", "frame", Layout(html=frame.format("new")))
    await control_plane.call("POST", f"{PATH}/rollback")
    assert "new" in (await sent(control_plane))[1]["email"]["html"]
    await put(control_plane, HELLO)
    await control_plane.call("DELETE", "/v1/layouts/frame")
    with pytest.raises(InvalidField) as gone:
        await control_plane.call("POST", f"{PATH}/rollback", {"version": 1})
    assert (gone.value.field, (await sent(control_plane))[0]) == ("layout", 3)


async def test_a_layout_changed_while_a_template_is_built_is_in_it(control_plane):
    class Slow(DirectDrafting):
        """A builder so slow that the layout changes meanwhile."""

        async def build(self, job):
            built = await super().build(job)
            await put_shared(control_plane.control, "acme", "frame", frame("new"))
            return built

    def frame(word):
        return Layout(html=f"<html><body>{word} {{{{ content }}}}</body></html>")

    documents = control_plane.control.documents
    changing = Changing(documents, control_plane.clock, Slow(template_engines()))
    editor = Editor(Templates(documents), changing, JsonSchemas())
    call = Call(by_key(), {}, {}, {}, b"")
    source = Source({Channel.EMAIL: {"subject": "s", "html": "<p>x</p>"}}, layout="frame")
    for change in (
        lambda: editor.save(call, "hello", source, publish=True),
        lambda: editor.publish(call, "hello", None, ""),
    ):
        await put_shared(control_plane.control, "acme", "frame", frame("old"))
        await change()
        assert "new" in (await sent(control_plane))[1]["email"]["html"]


async def test_who_asks_for_more_variables_is_warned(control_plane):
    await put(control_plane, {"channels": {"sms": {"body": "{{ order.number }}"}}})
    more = {"channels": {"sms": {"body": "{{ order.number }} {{ order.total }} {{ name }}"}}}
    assert (await put(control_plane, more, publish="false"))["warnings"] == []
    published = await control_plane.say("POST", f"{PATH}/publish")
    assert [(one["code"], one["field"]) for one in published["warnings"]] == [
        ("new_variable", "data.name"), ("new_variable", "data.order.total"),
    ]  # fmt: skip
    assert (await control_plane.say("POST", f"{PATH}/rollback"))["warnings"] == []


async def test_a_sample_that_misses_a_variable_is_reported(control_plane):
    shown = await put(control_plane, HELLO | {"sample": {"data": {"order": {}}}})
    assert [(one["code"], one["field"]) for one in shown["warnings"]] == [
        ("sample_mismatch", "sample.data.order.number")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "schema", "fields"),
    [
        (
            "{{ order.number }} {{ name }}",
            {"properties": {"order": {}, "name": {}}, "required": ["name"]},
            ["data.order"],
        ),
        ("{{ name }}", {}, ["data.name"]),
        ("{{ name | default: 'you' }}{% if order %}{{ order.number }}{% endif %}", {}, []),
        ("{{ name }}", {"allOf": [{"required": ["name"]}]}, []),
    ],
)
async def test_a_variable_optional_in_the_schema_and_required_by_parts_is_reported(control_plane, body, schema, fields):
    shown = await put(control_plane, {"channels": {"sms": {"body": body}}, "variables": schema})
    assert [(one["code"], one["field"]) for one in shown["warnings"]] == [
        ("variable_not_required", field) for field in fields
    ]


async def test_a_declared_schema_is_shown_and_rules(control_plane):
    shown = await put(control_plane, HELLO | {"variables": SCHEMA, "sample": {"data": {"order": {"number": 1}}}})
    assert (shown["schema"], shown["inferred"], shown["variables"]) == (SCHEMA, False, ["order"])
    assert (await lookups.template(control_plane.directory, "acme", "hello")).schema == SCHEMA


BAD = {
    "undeclared": ({"variables": {"properties": {"orders": {}}}}, "channels.sms.body", "undeclared_variable"),
    "no schema": ({"variables": {"type": "nonsense"}}, "variables.type", "invalid_schema"),
    "no object": ({"variables": {"type": "string"}}, "variables.type", "invalid_schema"),
    "remote reference": ({"variables": {"$ref": "https://example.com/x.json"}}, "variables", "invalid_schema"),
    "backtracking": (
        {"variables": {"properties": {"order": {"pattern": r"(a+)\1"}}}}, "variables.properties.order.pattern",
        "invalid_schema",
    ),
    "large schema": ({"variables": {"description": "x" * 70_000}}, "variables", "invalid_schema"),
    "ill-typed sample": ({"variables": SCHEMA}, "sample.data.order.number", "sample_mismatch"),
    "unknown locale": ({"locales": {"xx-YY": {}}}, "locales.xx-YY", "unknown_locale"),
    "own locale": ({"locale": "klingon"}, "locale", "unknown_locale"),
    "locale twice": ({"locales": {"pt-BR": {}, "pt_BR": {}}}, "locales.pt_BR", "invalid_field"),
    "missing message": ({"locales": {}}, "channels.sms.body", None),
    "message key": ({"locales": {"en": {"messages": {"a b": "x"}}}}, "locales.en.messages.a b", "invalid_field"),
    "no other": ({"locales": {"en": {"messages": {"n": {"one": "x"}}}}}, "locales.en.messages.n", "invalid_field"),
    "header": (
        {"channels": {"email": {"subject": "a\r\nBcc: b", "text": "t"}}}, "channels.email.subject", "invalid_field",
    ),
    "header of a locale": (
        {"channels": {"push": {"title": "a"}}, "locales": {"de": {"channels": {"push": {"title": "a\nb"}}}}},
        "locales.de.channels.push.title", "invalid_field",
    ),
    "syntax": ({"channels": {"sms": {"body": "a\n {{ x"}}, "locales": {}}, "channels.sms.body", "template_syntax"),
    "category": ({"category": "nope"}, "category", "unknown_category"),
    "large sample": ({"sample": {"data": {"x": "y" * 70_000}}}, "sample.data", "invalid_field"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_names_its_field_and_stores_nothing(control_plane, name):
    change, field, code = BAD[name]
    status, named, said = await refused(control_plane, HELLO | change)
    assert (status, named) == (422, field)
    assert code in (None, said)
    await put(control_plane)
    before = await control_plane.say("GET", "/v1/templates")
    with pytest.raises(InvalidField):
        await put(control_plane, HELLO | change)
    assert await control_plane.say("GET", "/v1/templates") == before


async def test_flags_notes_and_engines_are_checked(control_plane):
    assert (await refused(control_plane, HELLO, publish="maybe"))[1] == "publish"
    assert (await refused(control_plane, HELLO, note="x" * 1_001))[1] == "note"
    with pytest.raises(msgspec.ValidationError):
        await put(control_plane, HELLO | {"engine": "jinja"})
    with pytest.raises(msgspec.ValidationError):
        await put(control_plane, HELLO | {"colour": "red"})


async def test_another_tenant_sees_no_version(control_plane):
    await put(control_plane)
    for target in (PATH, f"{PATH}/versions", f"{PATH}/versions/1", f"{PATH}/diff"):
        with pytest.raises(NotFound):
            await control_plane.call("GET", target, tenant="other")
    for verb in ("publish", "rollback"):
        with pytest.raises(NotFound):
            await control_plane.call("POST", f"{PATH}/{verb}", tenant="other")


async def test_the_list_continues_after_a_short_page(control_plane, bound):
    for key in "abcde":
        await control_plane.call("PUT", f"/v1/templates/{key}", HELLO)
    bound("TEMPLATES_PAGE_BYTES_MAX", 1)
    seen, query = [], {"limit": "3"}
    while query:
        page = await control_plane.say("GET", "/v1/templates", **query)
        seen += [one["key"] for one in page["data"]]
        query = page["next"] and {"limit": "3", "after": page["next"]}
    assert seen == list("abcde")
