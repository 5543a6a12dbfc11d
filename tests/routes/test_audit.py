"""The audit over HTTP: what a row shows, filters, pages, and bad queries."""

import pytest

from clarion.domain.errors import InvalidField
from clarion.ports.web import Call
from tests.callers import by_key


async def ask(control_plane, path="/v1/audit", tenant="acme", **query):
    route, values = control_plane.find("GET", path)
    return (await route.handler(Call(by_key(tenant=tenant), values, query, {}, b""))).body


async def test_a_change_is_shown_with_who_made_it(control_plane):
    await control_plane.call("PUT", "/v1/brand", {"name": "Acme"})
    await control_plane.call("PUT", "/v1/policy", {"zone": "UTC"})
    found = await ask(control_plane)
    newest, first = found["data"]
    assert (found["next"], newest.number, newest.target.kind, first.number) == (None, 2, "policy", 1)
    assert (first.action, first.target.kind, first.actor.kind) == ("brand.put", "brand", "key")
    assert (bytes(first.before), b"Acme" in bytes(first.after)) == (b"null", True)
    assert first.at.tzinfo is not None
    page = await ask(control_plane, limit="1")
    assert [row.number for row in page["data"]] == [2]
    rest = await ask(control_plane, limit="1", after=page["next"])
    assert ([row.number for row in rest["data"]], rest["next"]) == ([1], None)
    assert [row.number for row in (await ask(control_plane, kind="brand"))["data"]] == [1]
    assert (await ask(control_plane, until="2000-01-01T00:00:00Z"))["data"] == []
    assert (await ask(control_plane, tenant="other"))["data"] == []


async def test_the_operators_path_shows_the_installation_alone(control_plane):
    await control_plane.call("PUT", "/v1/brand", {"name": "Acme"})
    assert (await ask(control_plane, "/v1/operators/audit"))["data"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"since": "yesterday"}, "since"), ({"until": "2026-01-01"}, "until"), ({"actor": "a\nb"}, "actor"),
        ({"key": "\x00"}, "key"), ({"action": "x" * 2_000}, "action"), ({"after": "!"}, "after"), ({"after": "WyJ4Il0"}, "after"),
        ({"limit": "0"}, "limit"),
    ],
)  # fmt: skip
async def test_a_bad_query_names_its_field(control_plane, query, field):
    with pytest.raises(InvalidField) as refused:
        await ask(control_plane, **query)
    assert refused.value.field == field
