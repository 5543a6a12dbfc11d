"""A made-up resource, declared in this file alone: its routes, conditions, description, storage, audit rows and file form follow
from the declaration."""

import asyncio
from datetime import datetime
from typing import Any

import msgspec
import pytest

from clarion.domain.errors import Conflict, InvalidField, Malformed, NotFound, Stale
from clarion.domain.limits import REASON_CHARS_MAX
from clarion.domain.reference import Reference
from clarion.ports.documents import Changes, DocumentKey
from clarion.ports.web import Call
from clarion.resources import file_form
from clarion.resources.changing import Changing
from clarion.resources.decisions import stored
from clarion.resources.declaration import Facts, Resource
from clarion.resources.routes import routes
from clarion.ways_in.http.openapi import document
from tests.callers import by_key

PORT = "control"
T = "acme"
KIND = "widget"


class Widget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A widget. `parent` is the widget it belongs to."""

    size: int
    parent: str | None = None
    token: str = ""
    owner: str = ""
    tags: dict[str, str] = {}


class WidgetView(msgspec.Struct, frozen=True):
    """A widget in responses."""

    key: str
    version: int
    created_at: datetime
    updated_at: datetime
    size: int
    parent: str | None = None


def references(body: Widget) -> list[Reference]:
    return [] if body.parent is None else [Reference(KIND, body.parent, "parent")]


def check(body: Widget, facts: Facts, now_ms: int) -> Changes:
    if body.size < 1:
        raise InvalidField("must be at least 1", field="size")
    return stored(facts, body, now_ms)


WIDGETS = Resource(
    KIND,
    "/v1/widgets/{key}",
    Widget,
    WidgetView,
    check,
    references=references,
    description="A thing of a size.",
    example=Widget(3),
    most=3,
    secrets=frozenset({"token"}),
    contacts=frozenset({"owner"}),
)


class Client:
    """Calls the routes of the resource as the HTTP layer does."""

    def __init__(self, control_plane):
        self.documents = control_plane.control.documents
        self.clock = control_plane.clock
        self.changing = Changing(self.documents, control_plane.clock)
        self.routes = {(one.method, one.path): one for one in routes(WIDGETS, self.documents, self.changing)}

    async def ask(self, method: str, name: str | None = None, body: Any = None, headers=None, tenant=T, **query: str):
        path = WIDGETS.path if name is not None else "/v1/widgets"
        route = self.routes[method, path]
        decoded = None if body is None else msgspec.convert(body, route.body)
        caller = by_key(tenant, key_id="ada")
        given = {} if name is None else {"key": name}
        reply = await route.handler(Call(caller, given, query, headers or {}, b"", decoded, address="192.0.2.9"))
        return reply, None if reply.body is None else msgspec.json.decode(msgspec.json.encode(reply.body))


@pytest.fixture
def client(control_plane):
    return Client(control_plane)


async def test_it_is_stored_shown_listed_and_removed(client):
    reply, shown = await client.ask("PUT", "blue", {"size": 1})
    assert (reply.status, reply.headers["ETag"], shown["key"], shown["version"], shown["size"]) == (
        200,
        '"1"',
        "blue",
        1,
        1,
    )
    assert shown["parent"] is None and shown["created_at"] == shown["updated_at"] == "2023-11-14T22:13:20Z"
    client.clock.wall_ms += 1_000
    await client.ask("PUT", "blue", {"size": 2})
    reply, shown = await client.ask("GET", "blue")
    assert (reply.headers["ETag"], shown["size"], shown["updated_at"]) == ('"2"', 2, "2023-11-14T22:13:21Z")
    await client.ask("PUT", "red", {"size": 5})
    _, page = await client.ask("GET", limit="1")
    assert [one["key"] for one in page["data"]] == ["blue"]
    _, page = await client.ask("GET", limit="1", after=page["next"])
    assert ([one["key"] for one in page["data"]], page["next"]) == (["red"], None)
    assert (await client.ask("DELETE", "blue"))[0].status == 204
    for method in ("GET", "DELETE"):
        with pytest.raises(NotFound, match="no such widget"):
            await client.ask(method, "blue")


async def test_what_is_stored_already_makes_no_version(client):
    for _ in range(2):
        _, shown = await client.ask("PUT", "blue", {"size": 1})
    assert (shown["version"], len(await client.documents.audit(T, 0, 9))) == (1, 1)


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"if-match": '"1"'}, "If-Match"),
        ({"if-match": 'W/"2"'}, "If-Match"),
        ({"if-none-match": "*"}, "If-None-Match"),
    ],
)
async def test_a_request_based_on_another_version_is_refused(client, headers, field):
    for size in (1, 2):
        await client.ask("PUT", "blue", {"size": size})
    for method, body in (("PUT", {"size": 3}), ("DELETE", None)):
        with pytest.raises(Stale) as refused:
            await client.ask(method, "blue", body, headers)
        assert (refused.value.status, refused.value.field) == (412, field)
    assert (await client.ask("GET", "blue"))[1]["size"] == 2


async def test_a_request_based_on_the_newest_version_is_done(client):
    await client.ask("PUT", "blue", {"size": 1}, {"if-none-match": "*"})
    await client.ask("PUT", "blue", {"size": 2}, {"if-match": '"7", "1"'})
    await client.ask("PUT", "blue", {"size": 3}, {"if-match": "*"})
    await client.ask("DELETE", "blue", headers={"if-match": '"3"'})
    for match in ('"3"', "*"):
        with pytest.raises(Stale):
            await client.ask("PUT", "blue", {"size": 4}, {"if-match": match})


@pytest.mark.parametrize(
    "headers", [{"if-match": "3"}, {"if-none-match": '"3"'}, {"if-match": "*", "if-none-match": "*"}]
)
async def test_a_condition_that_is_none_names_its_header(client, headers):
    with pytest.raises(InvalidField) as refused:
        await client.ask("PUT", "blue", {"size": 1}, headers)
    assert refused.value.field.lower() in headers


async def test_what_others_refer_to_is_not_removed(client):
    for name, parent in (("old", None), ("one", "old"), ("two", "old")):
        await client.ask("PUT", name, {"size": 1, "parent": parent})
    with pytest.raises(Conflict, match="widget 'one', widget 'two' use it") as refused:
        await client.ask("DELETE", "old")
    assert (refused.value.status, refused.value.code) == (409, "in_use")
    await client.ask("DELETE", "one")
    await client.ask("PUT", "two", {"size": 1})
    assert (await client.ask("DELETE", "old"))[0].status == 204


async def test_bad_input_names_its_field_and_leaves_nothing(client):
    for name, body, field in (
        ("blue", {"size": 0}, "size"),
        ("blue", {"size": 1, "parent": "nobody"}, "parent"),
        ("no key", {"size": 1}, "key"),
    ):
        with pytest.raises(InvalidField) as refused:
            await client.ask("PUT", name, body)
        assert refused.value.field == field
    with pytest.raises(InvalidField) as refused:
        await client.ask("PUT", "blue", {"size": 1}, reason="x" * (REASON_CHARS_MAX + 1))
    assert refused.value.field == "reason"
    assert await client.documents.audit(T, 0, 9) == []
    for name in ("a", "b", "c"):
        await client.ask("PUT", name, {"size": 1})
    with pytest.raises(Conflict, match="at most 3 widgets"):
        await client.ask("PUT", "d", {"size": 1})


async def test_a_parent_removed_meanwhile_is_noticed(client, monkeypatch):
    await client.ask("PUT", "old", {"size": 1})
    commit, removed = client.documents.commit, []

    async def once_removed(author, changes, expected, reason=""):
        if changes.target.key == "new" and not removed:
            removed.append(True)
            await client.ask("DELETE", "old")
        return await commit(author, changes, expected, reason)

    monkeypatch.setattr(client.documents, "commit", once_removed)
    with pytest.raises(InvalidField) as refused:
        await client.ask("PUT", "new", {"size": 1, "parent": "old"})
    assert refused.value.code == "unknown_widget"


async def test_writers_at_the_same_time_all_get_through_unless_they_name_a_version(client):
    results = await asyncio.gather(*(client.ask("PUT", "blue", {"size": n}) for n in range(1, 9)))
    assert sorted(shown["version"] for _, shown in results) == list(range(1, 9))
    based = [client.ask("PUT", "blue", {"size": n}, {"if-match": '"8"'}) for n in range(10, 14)]
    results = await asyncio.gather(*based, return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["Stale"] * 3 + ["tuple"]


async def test_another_tenant_has_its_own(client):
    await client.ask("PUT", "blue", {"size": 1})
    with pytest.raises(NotFound):
        await client.ask("GET", "blue", tenant="other")
    with pytest.raises(InvalidField):
        await client.ask("PUT", "red", {"size": 1, "parent": "blue"}, tenant="other")
    assert (await client.ask("GET", tenant="other"))[1]["data"] == []


async def test_each_change_is_a_row_of_the_audit_without_secrets_and_contacts(client):
    body = {"size": 1, "token": "hunter2", "owner": "ada@example.org", "tags": {"text": "x" * 2_000}}
    await client.ask("PUT", "blue", body, reason="as asked")
    await client.ask("DELETE", "blue")
    first, second = await client.documents.audit(T, 0, 9)
    assert (first.action, first.kind, first.key, first.reason) == ("widget.put", KIND, "blue", "as asked")
    assert (tuple(first.actor), first.address, first.before) == (("key", "ada"), "192.0.2.9", None)
    after = msgspec.json.decode(first.after)
    assert (after["size"], after["owner"]) == (1, "a***@example.org")
    assert after["token"].startswith("sha256:") and after["tags"]["text"].endswith(", 2000 characters")
    assert b"hunter2" not in first.after
    assert (second.action, second.before, second.after) == ("widget.remove", first.after, None)


async def test_its_file_form_holds_what_its_author_gave(client):
    body = {"size": 1, "tags": {"a": "b\nc"}}
    await client.ask("PUT", "blue", body)
    place = DocumentKey(T, KIND, "blue")
    text = file_form.written(WIDGETS, (await client.documents.read([place]))[place])
    assert file_form.path_of(WIDGETS, "blue") == "widgets/blue.toml"
    assert text == 'size = 1\n\n[tags]\na = """\nb\nc"""\n'
    assert file_form.read(WIDGETS, text) == msgspec.convert(body, Widget)
    with pytest.raises(InvalidField) as refused:
        file_form.read(WIDGETS, 'size = "large"')
    assert refused.value.field == "size"
    with pytest.raises(Malformed):
        file_form.read(WIDGETS, "size =")


async def test_it_is_described(client):
    description = msgspec.json.decode(document(list(client.routes.values())))
    put, get = (description["paths"]["/v1/widgets/{key}"][method] for method in ("put", "get"))
    assert (put["description"], put["tags"]) == ("A thing of a size.", ["widgets"])
    content = put["requestBody"]["content"]["application/json"]
    assert (content["example"], content["schema"]) == ({"size": 3}, {"$ref": "#/components/schemas/Widget"})
    assert [one["name"] for one in put["parameters"]] == ["key", "reason", "If-Match", "If-None-Match"]
    assert {"409", "412"} <= put["responses"].keys()
    assert "ETag" in get["responses"]["200"]["headers"] and "412" not in get["responses"]
    assert (get["x-permission"], put["x-permission"]) == ("widgets:read", "widgets:write")
    assert get["summary"] == "Get a widget"
