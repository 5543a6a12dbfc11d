"""Every route against requests that it must refuse: each answer has the headers of all answers, an error is a problem
document that repeats no secret, no request is a server error, and a refused one leaves nothing behind."""

import hashlib
import sqlite3
from contextlib import closing
from urllib.parse import quote

import msgspec
import pytest

from clarion.domain.errors import NotFound
from clarion.domain.limits import IDEMPOTENCY_KEY_CHARS_MAX
from clarion.domain.permissions import CONTACTS, OF_MEMBER, OF_USER, PERMISSIONS, PUBLIC, SCOPES
from clarion.identity.user_tokens import TokenRefusal
from tests.callers import opens
from tests.people import signed_in
from tests.security.api import OPERATOR_KEY
from tests.security.route_examples import EXAMPLES

SAFE = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
CANARY = "canary-4f1d"
"""Part of credentials and bodies that no answer may repeat."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "X" * 40)
DESCRIPTION = {("GET", "/openapi.json"), ("GET", "/docs")}
"""Routes that the application adds."""
SIGNED = ("/v1/receipts/{tenant}/{provider}", "/v1/unsubscribe/{token}")
"""Routes whose requests are signed by others."""
PAGES = {
    "/sign-in", "/sign-in/code", "/sign-in/with/{provider}", "/sign-in/with/{provider}/callback", "/sign-out", "/tenant", "/invitations/{token}", "/reset/{token}", "/account", "/account/sessions",
    "/account/password", "/account/authenticator", "/account/authenticator/remove",
}  # fmt: skip
"""Pages on which people sign in, and of their accounts: they check sessions by themselves."""
OPEN = {"/healthz", "/readyz", "/metrics", "/v1/workflows/schema", *SIGNED, *PAGES}
"""Paths of the routes that need no credential."""
OPEN_SCOPE = "users:read"


@pytest.fixture
async def site(api):
    """Return the API with a key of a narrow scope, and a token of a user."""
    made = await api.ok("POST", "/v1/tenants/acme/keys", {"scopes": [OPEN_SCOPE]}, key=OPERATOR_KEY)
    api.keys |= {
        "narrow": made.json["key"],
        "user": api.tokens.issue("acme", "ada", api.parts.clock.now_ms() // 1000, 600),
        "operator": OPERATOR_KEY,
    }
    api.people["person"] = await signed_in(api, "pat", "acme", "owner")
    return api


def stored(api):
    """Return a digest of each stored row, by file and table."""
    found = {}
    for file in sorted(api.parts.config.data_dir.glob("*.db")):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as store:
            tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                rows = store.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608 - our own tables
                found[file.name, table] = hashlib.sha256(repr(sorted(map(repr, rows))).encode()).hexdigest()
    return found


@pytest.fixture
async def unchanged(site):
    """Check that a test stores nothing and logs no failure."""
    before = stored(site)
    assert len(before) > 10
    yield site
    assert {name for name, digest in stored(site).items() if before.get(name) != digest} == set()
    assert not site.failures


def check(answer, *statuses):
    """Check what holds for every answer, and that its status is one of these; none means any error of the caller."""
    for name, value in SAFE.items():
        ours = name == "referrer-policy" and answer.headers[name] == "same-origin"  # of pages with forms
        assert ours or answer.headers[name] == value, (name, answer)
    assert "default-src 'none'" in answer.headers["content-security-policy"], answer
    assert answer.status < 500, answer
    if statuses:
        assert answer.status in statuses, answer
    if answer.status >= 400 and not answer.headers["content-type"].startswith("text/html"):
        assert answer.headers["content-type"] == "application/problem+json", answer
        problem = answer.json
        assert problem["status"] == answer.status
        assert problem["type"] == f"urn:clarion:{problem['code']}"
        assert problem["title"]
        assert problem["detail"]
        assert len(answer.body) < 12_000, answer
    for secret in (b"Traceback", b'File "', CANARY.encode(), OPERATOR_KEY.encode()):
        assert secret not in answer.body, answer


def key_of(route):
    return {"": None, "key": "acme"}.get(kind := opens(route.permission), kind)


def path_of(route, **changed):
    example = EXAMPLES[route.method, route.path]
    path = route.path.format(**example.values | changed)
    return f"{path}?{example.query}" if example.query else path


def body_of(route):
    return EXAMPLES[route.method, route.path].sent


def refused_routes(api):
    """Return the routes that need a credential."""
    return [route for route in api.routes if route.permission != PUBLIC]


async def test_every_route_has_an_example(api):
    routes = {(route.method, route.path) for route in api.routes}
    assert routes | DESCRIPTION == set(EXAMPLES)
    for route in api.routes:
        example = EXAMPLES[route.method, route.path]
        assert "{" not in path_of(route), route
        assert (example.sent is not None) == (
            route.body is not None or route.stream or (route.raw and route.method != "GET")
        )


async def test_every_route_names_a_permission_and_every_permission_a_route(api):
    needed = {route.permission for route in api.routes}
    assert needed == PERMISSIONS.keys() - {CONTACTS} | {PUBLIC}
    assert {route.path for route in api.routes if route.permission == PUBLIC} == OPEN


async def test_every_example_is_right_in_itself(site):
    wrong = {}
    for route in sorted(site.routes, key=lambda route: ("PUT", "POST", "GET", "DELETE").index(route.method)):
        answer = await site.call(route.method, path_of(route), body_of(route), key=key_of(route))
        check(answer)
        if answer.status not in (200, 201, 202, 204, 404, 409) and route.path not in {*SIGNED, *PAGES}:
            wrong[route.method, route.path] = answer.status, answer.body
    assert not wrong
    assert not site.failures


async def test_the_routes_that_take_an_idempotency_key_are_those_described_so(site):
    headers = [(b"idempotency-key", b"x" * (IDEMPOTENCY_KEY_CHARS_MAX + 1))]
    taking = set()
    for route in site.routes:
        answer = await site.call(route.method, path_of(route), body_of(route), key=key_of(route), headers=headers)
        if answer.status == 422 and answer.json.get("field") == "Idempotency-Key":
            taking.add((route.method, route.path))
    assert taking == {(route.method, route.path) for route in site.routes if route.idempotency_key}
    assert ("POST", "/v1/notifications") in taking


CREDENTIALS = (
    b"", b"Bearer", b"Bearer ", f"Bearer {CANARY}".encode(), f"Basic {CANARY}".encode(), b"Bearer clk_" + b"0" * 40,
    f"Bearer clk_{CANARY}".encode() + b"x" * 10_000, b"Bearer \xff\xfe", b"Bearer a.b.c", b"Bearer ..", b"Bearer \x00",
    f"Bearer {OPERATOR_KEY[:-1]}".encode(), b"bearer clop_" + b"o" * 40, b"Negotiate YII=",
)  # fmt: skip


async def test_no_route_answers_without_a_right_credential(unchanged):
    for route in refused_routes(unchanged):
        path, body = path_of(route), body_of(route)
        check(await unchanged.call(route.method, path, body, key=None), 401)
        for credential in CREDENTIALS:
            answer = await unchanged.call(route.method, path, body, key=None, headers=[(b"authorization", credential)])
            check(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json["code"] in {"unauthorized", "key_mistyped", *TokenRefusal}


async def test_no_route_answers_a_credential_of_another_kind(unchanged):
    for route in refused_routes(unchanged):
        wrong = {"acme", "other", "narrow", "user", "operator", "person"} - {key_of(route)}
        if route.permission in OF_MEMBER:
            wrong -= {"person"}
        if opens(route.permission) == "key":
            wrong -= {"other"}
        if route.permission in SCOPES[OPEN_SCOPE]:
            wrong -= {"narrow"}
        if route.permission in OF_USER:
            wrong -= {"user"}
        for key in sorted(wrong):
            answer = await unchanged.call(route.method, path_of(route), body_of(route), key=key)
            check(answer, 403)
            assert answer.json["code"] == "forbidden"


async def test_a_thing_of_another_tenant_is_not_found(site):
    """Things of `acme` alone are made from the examples, and asked for by `other`."""
    named = "of-acme-alone"
    for route in site.routes:
        if EXAMPLES[route.method, route.path].upserts and opens(route.permission) == "key":
            name = list(EXAMPLES[route.method, route.path].values)[-1]
            await site.ok(route.method, path_of(route, **{name: named}), body_of(route))
    before = stored(site)
    for route in refused_routes(site):
        example = EXAMPLES[route.method, route.path]
        if opens(route.permission) != "key" or example.upserts or not example.values:
            continue
        name = next(iter(example.values))
        answer = await site.call(route.method, path_of(route, **{name: named}), body_of(route), key="other")
        check(answer, NotFound.status)
    assert stored(site) == before


async def test_another_method_is_refused_with_those_that_exist(unchanged):
    methods = {}
    for method, path in EXAMPLES:
        methods.setdefault(path, {})[method] = EXAMPLES[method, path]
    for path, known in methods.items():
        for method in METHODS:
            if method in known or (method == "HEAD" and "GET" in known):
                continue
            values = next(iter(known.values())).values
            answer = await unchanged.call(method, path.format(**values))
            check(answer, 405)
            assert set(answer.headers["allow"].split(", ")) - {"HEAD", "OPTIONS"} == set(known)


async def test_a_head_has_the_status_and_headers_of_its_get(site):
    for route in [route for route in site.routes if route.method == "GET"]:
        got, head = [await site.call(method, path_of(route), key=key_of(route)) for method in ("GET", "HEAD")]
        check(head, got.status)
        assert head.headers.keys() == got.headers.keys()


BODIES = (
    b"{", b"}", b"\xff\xfe", b"nul", b"[]", b"1", b"true", b'"x"', b"NaN", b"1e999", b"-", b'{"a":}', b"{'a': 1}",
    b'{"\\ud800": 1}', b'{"a": "\x00"}', b"\x1f\x8b\x08\x00", b"<xml/>", b"a=b&c=d", b"[" * 2_000, b'{"a":' * 2_000,
    b"[" * 500 + b"]" * 500, b'{"a": "' + CANARY.encode() + b'", "a"', b"\xef\xbb\xbf{}",
)  # fmt: skip


async def test_a_body_that_is_not_what_the_route_needs_is_refused(unchanged):
    for route in unchanged.routes:
        if route.body is None:
            continue
        for body in BODIES:
            check(await unchanged.call(route.method, path_of(route), body, key=key_of(route)), 400, 404, 422)
        if not route.optional:
            check(await unchanged.call(route.method, path_of(route), key=key_of(route)), 400)


async def test_a_field_that_is_nested_too_deeply_is_refused(unchanged):
    deep = msgspec.Raw(b"[" * 3_000 + b"]" * 3_000)
    for route in unchanged.routes:
        body = EXAMPLES[route.method, route.path].body
        if route.body is not None and isinstance(body, dict):
            for name in body:
                raw = msgspec.json.encode(body | {name: deep})
                answer = await unchanged.call(route.method, path_of(route), raw, key=key_of(route))
                check(answer, *((202,) if route.itemwise else ()), 400, 404, 422)


async def test_a_body_beyond_the_limit_is_refused_by_its_length_and_by_its_bytes(unchanged):
    for route in unchanged.routes:
        if route.body is None and not (route.raw and route.method != "GET"):
            continue
        for length in (route.limit_bytes + 1, 10**15, 10**30):
            headers = [(b"content-length", b"%d" % length)]
            check(await unchanged.call(route.method, path_of(route), key=key_of(route), headers=headers), 413)
        piece = b" " * (route.limit_bytes // 4 + 1)
        check(await unchanged.call(route.method, path_of(route), key=key_of(route), pieces=[piece] * 5), 413)


TYPES = (
    b"text/plain",
    b"application/xml",
    b"multipart/form-data; boundary=x",
    b"",
    b"x" * 5_000,
    b"\xff",
    b"application/json; charset=utf-16",
)


async def test_another_content_type_is_no_server_error(unchanged):
    """A body is JSON, whatever type is named, so what is not JSON is refused in any case."""
    for route in unchanged.routes:
        if route.body is not None:
            for kind in TYPES:
                headers = [(b"content-type", kind)]
                check(
                    await unchanged.call(route.method, path_of(route), b"<a/>", key=key_of(route), headers=headers), 400
                )


ODD = ("%2F", "a%2Fb", "%00", "..%2f..%2fetc", "%0d%0aset-cookie:a", "x" * 10_000, "%F0%9F%92%A9%00")
NOT_UTF_8 = ("%ff", "%ED%A0%80", "%C3")


async def test_an_odd_value_in_a_path_finds_and_makes_nothing(unchanged):
    for route in unchanged.routes:
        example = EXAMPLES[route.method, route.path]
        for name in example.values:
            for value in ODD:
                answer = await unchanged.call(
                    route.method, path_of(route, **{name: value}), body_of(route), key=key_of(route)
                )
                check(answer, *((403,) if route.path in PAGES else ()), 400, 401, 404, 405, 422)
            for value in NOT_UTF_8:
                answer = await unchanged.call(
                    route.method, path_of(route, **{name: value}), body_of(route), key=key_of(route)
                )
                check(answer, 400, 404)


VALUES = (
    "",
    "-1",
    "0",
    "9" * 5_000,
    "1e9",
    "NaN",
    "\x00",
    "\r\nx: y",
    "' OR 1=1 --",
    "../../etc",
    "💩",
    "٣",
    "a" * 10_000,
    "[]",
    "true",
)


async def test_an_odd_query_is_no_server_error(site):
    for route in site.routes:
        if route.method != "GET" or not route.queries:
            continue
        for query in route.queries:
            for value in VALUES:
                path = f"{path_of(route)}?{query.name}={quote(value)}"
                check(await site.call("GET", path, key=key_of(route)))
    assert not site.failures


async def test_queries_that_no_route_knows_are_no_server_error(site):
    queries = (
        "&" * 5_000,
        "=" * 100,
        "%00=%00",
        "a" * 50_000,
        "&".join(f"k{n}=v" for n in range(2_000)),
        "limit=1&limit=2",
        "a[b]=c",
    )
    for route in site.routes:
        if route.method == "GET":
            for query in queries:
                check(await site.call("GET", f"{path_of(route)}?{query}", key=key_of(route)))
    assert not site.failures
