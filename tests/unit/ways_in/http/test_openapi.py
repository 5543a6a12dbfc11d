"""The OpenAPI document describes exactly the existing routes, and every reference in it resolves."""

from typing import Any

import msgspec
import pytest

from clarion.control import routes as control_routes
from clarion.domain.permissions import PUBLIC
from clarion.feedback import routes as feedback_routes
from clarion.history import routes as record_routes
from clarion.identity import routes as identity_routes
from clarion.inbox import routes as inbox_routes
from clarion.inbox import routes_marks, routes_seen, routes_withdraw
from clarion.ports.web import Route
from clarion.ways_in.http import routes_broadcasts, routes_events, routes_test_send
from clarion.ways_in.http import routes_notifications as accept_routes
from clarion.ways_in.http.openapi import document, page


@pytest.fixture(scope="module")
def routes() -> list[Route]:
    """Return every route of the API; none is called here, so they need no implementation."""
    absent: Any = None
    return [
        *accept_routes.routes(absent, absent),
        *routes_broadcasts.routes(absent, absent),
        *routes_events.routes(absent),
        *routes_test_send.routes(absent, absent),
        *record_routes.routes(absent, absent, absent, absent, absent),
        *inbox_routes.routes(absent, absent, absent, absent, absent, absent),
        *routes_marks.routes(absent, absent, absent, absent),
        *routes_seen.routes(absent, absent, absent, absent),
        *routes_withdraw.routes(absent, absent, absent, absent, absent),
        *feedback_routes.routes(absent, ""),
        *identity_routes.routes(Anything(), Keys(), absent, absent, absent),
        *control_routes.routes(Anything(), absent, absent, absent, {}, absent, absent, absent, telemetry=absent),
    ]


class Keys:
    """A vault that only derives keys."""

    def derive(self, purpose: str) -> bytes:
        return purpose.encode().ljust(32)[:32]


class Anything:
    """Has every attribute."""

    def __getattr__(self, name: str) -> "Anything":
        return self


@pytest.fixture(scope="module")
def description(routes: list[Route]) -> Any:
    return msgspec.json.decode(document(routes))


def values_of(node: Any, name: str) -> list[Any]:
    """Return every value under a name, anywhere in a document."""
    if isinstance(node, list):
        return [found for one in node for found in values_of(one, name)]
    if not isinstance(node, dict):
        return []
    return [value for key, value in node.items() if key == name] + values_of(list(node.values()), name)


def test_every_route_is_there_and_nothing_else(routes, description):
    assert description["openapi"].startswith("3.1")
    result = {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}
    assert result == {(route.method, route.path) for route in routes}
    assert len(result) == len(routes), "no two routes share a method and a path"


def test_every_reference_leads_somewhere(description):
    references = {one for one in values_of(description, "$ref") if isinstance(one, str)}
    assert references
    schemas = description["components"]["schemas"]
    assert {one.removeprefix("#/components/schemas/") for one in references} <= schemas.keys()


def test_every_operation_is_whole(routes, description):
    names = values_of(description["paths"], "operationId")
    assert len(set(names)) == len(routes)
    for route in routes:
        operation = description["paths"][route.path][route.method.lower()]
        in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        in_header = [one["name"] for one in operation["parameters"] if one["in"] == "header"]
        changes = route.versioned and route.method != "GET"
        conditions = ["If-Match", "If-None-Match"] if changes else []
        assert in_header == (["Idempotency-Key"] if route.idempotency_key else []) + conditions
        assert in_path == {part[1:-1] for part in route.path.split("/") if part.startswith("{")}
        refusals = {"409", "412"} if changes else set()
        assert {str(route.status), "default"} | refusals == operation["responses"].keys()
        assert ("security" in operation) == (route.permission != PUBLIC)
        assert ("requestBody" in operation) == (
            route.body is not None or route.stream or (route.raw and route.method != "GET")
        )
        assert operation["summary"]


def test_the_page_shows_and_escapes_every_route(routes):
    html = page([*routes, Route("GET", "/<b>", lambda call: None, PUBLIC, "<script>")]).decode()  # type: ignore[arg-type,return-value]
    assert all(f"<code>{route.path}</code>" in html for route in routes)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "http://" not in html
    assert "https://" not in html


@pytest.mark.parametrize("path", ["/v1/dead-letters", "/v1/providers", "/v1/suppressions"])
def test_a_list_describes_its_items(description, path):
    reply = description["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    page_ = description["components"]["schemas"][reply["$ref"].rpartition("/")[2]]
    assert set(page_["required"]) == {"data", "next"}
    assert page_["properties"]["data"]["items"]["$ref"].startswith("#/components/schemas/")
