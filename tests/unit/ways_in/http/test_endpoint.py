"""The HTTP edge as raw ASGI: authentication, what is read of a request, and the text of every refusal."""

import asyncio
import gzip
from typing import Annotated, Any

import msgspec
import pytest

from clarion.app.config.loading import load
from clarion.domain.errors import Conflict, DurabilityError, NotFound, Overloaded, StaleLease, StoreRewound
from clarion.domain.limits import BODY_WAIT_MS_MAX
from clarion.domain.permissions import OF_TENANT, PUBLIC
from clarion.domain.quota import Quota
from clarion.edge.cycle import VOUCH
from clarion.edge.safe_headers import SAFE
from clarion.ports.web import JSON, TOML, Call, Caller, Reply, Route
from clarion.ways_in.http.application import application
from clarion.ways_in.http.settings import Api
from tests.callers import by_key, by_user
from tests.stages.virtual import run
from tests.stages.world import Notes
from tests.unit.ways_in.http.asgi import Answer, call

LIMIT = 10_000
CALLERS = {
    "good": by_key(permissions={"things:write", "seen:write"}, key_id="k1"),
    "wild": by_key(permissions={*OF_TENANT, "things:write"}, key_id="k2"),
    "poor": by_key(permissions={"other:read"}, key_id="k3"),
    "ria": by_user("ria"),
}


async def identify(secret: str, _peer: str) -> Caller | None:
    return CALLERS.get(secret)


def limits_of(requests_max: int = 10, **limits: int) -> Api:
    """Return the default settings with other limits."""
    api = load(None, {}).api
    changed = msgspec.structs.replace(api.limits, **limits)
    return msgspec.structs.replace(api, max_requests=requests_max, limits=changed)


async def no_quotas(_tenant: str) -> dict[str, Quota]:
    return {}


class To(msgspec.Struct, forbid_unknown_fields=True):
    email: str | None = None


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    to: list[To]
    name: Annotated[str, msgspec.Meta(max_length=5)]
    data: dict[str, Any] = {}


class Site:
    """An application whose routes report what they were called with."""

    def __init__(self, requests_max: int = 10, **limits: int) -> None:
        self.calls: list[Call] = []
        self.stopped = 0
        self.notes = Notes()
        self.raises: Exception | None = None
        routes = [
            Route("POST", "/things", self.take, "things:write", "Make", body=Thing, reply=Thing, limit_bytes=LIMIT),
            Route("GET", "/things/{id}", self.take, "things:write", "Look"),
            Route("GET", "/things/bulk", self.take, PUBLIC, "A fixed path"),
            Route("PUT", "/lines", self.lines, "things:write", "Stream", stream=True),
            Route("GET", "/operate", self.take, "tenants:read", "For the operator"),
            Route("GET", "/inbox", self.take, "inbox:read", "For a user"),
            Route(
                "PUT", "/toml", self.take, "things:write", "TOML too", body=Thing, limit_bytes=LIMIT, media=(JSON, TOML)
            ),
            Route("POST", "/seen", self.take, "seen:write", "For both", body=To, optional=True),
            Route("POST", "/again", self.take, "things:write", "With or without", body=To, optional=True),
        ]
        api = limits_of(requests_max, **limits)
        self.app = application(routes, identify, self.notes, api=api, quotas=no_quotas, on_durability_lost=self.stop)

    async def take(self, called: Call) -> Reply:
        self.calls.append(called)
        if self.raises is not None:
            raise self.raises
        return Reply({"path": called.path, "query": called.query}, headers={"X-Seen": "yes"})

    async def lines(self, called: Call) -> Reply:
        assert called.stream is not None
        return Reply({"sizes": [len(piece) async for piece in called.stream]})

    def stop(self, error: DurabilityError) -> None:
        self.stopped += 1

    def ask(self, *values: Any, **options: Any) -> Answer:
        return run(call(self.app, *values, **options))


def is_problem(answer: Answer, status: int, code: str, field: str | None = None) -> None:
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["content-length"]) == len(answer.body)
    document = answer.json
    assert (document["status"], document["code"], document.get("field")) == (status, code, field)
    assert document["detail"]
    assert document["type"] == f"urn:clarion:{code}"
    assert document["title"]


@pytest.mark.parametrize(
    "header", [{}, {"authorization": "Basic good"}, {"authorization": "Bearer"}, {"authorization": "good"}]
)
def test_without_a_good_credential_nothing_is_answered(header):
    site = Site()
    answer = site.ask("GET", "/things/7", key=None, headers=header)
    is_problem(answer, 401, "unauthorized", "Authorization")
    assert answer.headers["www-authenticate"] == "Bearer"
    is_problem(site.ask("GET", "/things/7", key="wrong"), 401, "unauthorized", "Authorization")
    assert site.calls == []


def test_a_key_reaches_what_its_scopes_name():
    site = Site()
    is_problem(site.ask("GET", "/things/7", key="poor"), 403, "forbidden", "Authorization")
    assert site.ask("GET", "/things/7", key="wild").status == 200
    for path in ("/operate", "/inbox"):
        is_problem(site.ask("GET", path, key="wild"), 403, "forbidden", "Authorization")


def test_authentication_precedes_reading():
    is_problem(Site().ask("POST", "/things", b"x" * (LIMIT + 1), key="wrong"), 401, "unauthorized", "Authorization")


@pytest.mark.parametrize(
    ("target", "key", "calls"),
    [
        ("/things/7", "good", 1),
        ("/inbox", "ria", 1),
        ("/things/7", "wrong", 0),
        ("/things/7", "poor", 0),
        ("/docs", "good", 0),
    ],
)
def test_a_valid_credential_vouches_for_its_connection(target, key, calls):
    vouched = []
    Site().ask("GET", target, key=key, state={VOUCH: lambda: vouched.append(1)})
    assert len(vouched) == calls


def test_a_body_of_items_with_too_many_values_is_refused_before_the_rest_is_read():
    site, left = Site(), [b"0," * 60, b"0," * 60, b"0," * 60, b"0]"]

    async def refused() -> Any:
        route = Route(
            "POST", "/items", site.take, "things:write", "Many", body=list[int], itemwise=True, values_max=100
        )
        app = application(
            [route], identify, site.notes, api=limits_of(), quotas=no_quotas, on_durability_lost=site.stop
        )
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": left.pop(0), "more_body": len(left) > 0}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", b"Bearer good")]
        scope = {"type": "http", "method": "POST", "path": "/items", "query_string": b"", "headers": headers}
        await app(scope, receive, send)
        return sent[0]["status"], msgspec.json.decode(sent[1]["body"])["code"]

    assert run(refused()) == (413, "too_many_values")
    assert len(left) == 2


def test_unknown_paths_and_methods():
    site = Site()
    is_problem(site.ask("GET", "/nothing"), 404, "not_found")
    is_problem(site.ask("GET", "/things/7/"), 404, "not_found")
    answer = site.ask("DELETE", "/things")
    is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def nothing(_called: Call) -> Reply:
    return Reply(status=204)


def test_a_response_without_content_says_nothing_of_one():
    routes = [Route("DELETE", "/things", nothing, PUBLIC, "Delete")]
    app = application(
        routes, identify, Notes(), api=limits_of(), quotas=no_quotas, on_durability_lost=lambda error: None
    )
    answer = run(call(app, "DELETE", "/things"))
    assert (answer.status, answer.body) == (204, b"")
    assert not {"content-length", "content-type"} & set(answer.headers)


def test_every_response_has_the_headers_of_safety_and_pages_have_more():
    site = Site()
    answers = [
        site.ask("GET", "/things/7"),
        site.ask("GET", "/no"),
        site.ask("PUT", "/things"),
        site.ask("HEAD", "/things/7"),
    ]
    answers += [site.ask("GET", "/docs"), site.ask("GET", "/openapi.json"), site.ask("POST", "/things", b"{")]
    for answer in answers:
        assert {name: answer.headers[name.decode()].encode() for name, _ in SAFE} == dict(SAFE)
        assert ("permissions-policy" in answer.headers) == answer.headers["content-type"].startswith("text/html")


def test_parameters_come_decoded_and_a_fixed_path_comes_first():
    site = Site()
    answer = site.ask("GET", "/things/7?after=a%20b&empty=&after=c")
    assert answer.json == {"path": {"id": "7"}, "query": {"after": "c", "empty": ""}}
    assert answer.headers["x-seen"] == "yes"
    assert site.ask("GET", "/things/bulk", key=None).json["path"] == {}
    assert site.ask("HEAD", "/things/7").status == 200


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"", 400, "malformed_body", None),
        (b"{", 400, "malformed_body", None),
        (b'{"to": [], "name": "\xff"}', 400, "malformed_body", None),
        (b'{"to": [], "name": "\\ud800"}', 400, "malformed_body", None),
        (b'{"to": [], "name": "x", "data": ' + b"[" * 480 + b"]" * 480 + b"}", 422, "invalid_field", "data"),
        (b"[]", 422, "invalid_field", None),
        (b'{"to": []}', 422, "invalid_field", "name"),
        (b'{"to": [], "name": "x", "color": 1}', 422, "invalid_field", "color"),
        (b'{"to": [{"email": 7}], "name": "x"}', 422, "invalid_field", "to[0].email"),
        (b'{"to": [{}, {"mail": 7}], "name": "x"}', 422, "invalid_field", "to[1].mail"),
        (b'{"to": {}, "name": "x"}', 422, "invalid_field", "to"),
        (b'{"to": [], "name": "longer"}', 422, "invalid_field", "name"),
        (b"x" * (LIMIT + 1), 413, "too_large", None),
    ],
)
def test_a_bad_body_is_refused_with_its_field(body, status, code, field):
    site = Site()
    answer = site.ask("POST", "/things", body)
    is_problem(answer, status, code, field)
    assert site.calls == []


@pytest.mark.parametrize("levels", [1_000, 4_000])
def test_a_thousand_levels_are_refused(levels):
    site = Site()
    deep = b'{"to": [], "name": "x", "data": {"a": ' + b"[" * levels + b"]" * levels + b"}}"
    is_problem(site.ask("POST", "/things", deep), 400, "malformed_body")
    is_problem(site.ask("POST", "/things", deep[:-levels]), 400, "malformed_body")
    assert site.calls == []


@pytest.mark.parametrize("declared", [str(LIMIT + 1), "9" * 5_000])
def test_a_declared_length_over_the_bound_is_refused_unread(declared):
    is_problem(Site().ask("POST", "/things", b"{}", headers={"content-length": declared}), 413, "too_large")


def test_an_undeclared_body_is_counted_as_it_arrives():
    site = Site()
    is_problem(site.ask("POST", "/things", [b"x" * 6_000, b"x" * 6_000]), 413, "too_large")
    assert site.ask("POST", "/things", [b'{"to": [', b"], ", b'"name": "x"}']).status == 200


def test_a_disconnected_caller_leaves_nothing_behind():
    site = Site()
    is_problem(site.ask("POST", "/things", b'{"to": [', gone=True), 400, "malformed_body")
    is_problem(site.ask("PUT", "/lines", b"half a li", gone=True), 400, "malformed_body")
    is_problem(site.ask("POST", "/again", [], gone=True), 400, "malformed_body")
    assert site.calls == []


def test_a_stream_is_unbounded_and_arrives_in_pieces():
    assert Site().ask("PUT", "/lines", [b"x" * LIMIT, b"", b"y" * LIMIT]).json == {"sizes": [LIMIT, LIMIT]}


def test_a_slow_caller_times_out():
    async def scenario() -> list[Any]:
        result: list[Any] = []

        async def never() -> Any:
            await asyncio.sleep(10 * BODY_WAIT_MS_MAX)

        async def send(message: Any) -> None:
            result.append(message)

        headers = [(b"authorization", b"Bearer good")]
        scope = {"type": "http", "method": "POST", "path": "/things", "query_string": b"", "headers": headers}
        await Site().app(scope, never, send)
        return result

    start, _body = run(scenario())
    assert start["status"] == 408


def test_a_body_in_pieces_is_joined():
    async def scenario() -> tuple[Site, list[Any]]:
        site, result, bits = Site(), [], [b'{"to": [', b"], ", b'"name": "x"}']

        async def receive() -> Any:
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            bit = bits.pop(0)
            return {"type": "http.request", "body": bit, "more_body": bool(bits)}

        async def send(message: Any) -> None:
            result.append(message)

        headers = [(b"authorization", b"Bearer good")]
        scope = {"type": "http", "method": "POST", "path": "/things", "query_string": b"", "headers": headers}
        await site.app(scope, receive, send)
        return site, result

    site, (start, _body) = run(scenario())
    assert start["status"] == 200
    assert len(site.calls) == 1


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("no such thing"), 404, "not_found"),
        (Conflict("still running", retry_after_s=3), 409, "conflict"),
        (Overloaded("full", retry_after_s=3), 503, "overloaded"),
        (StaleLease("gone"), 500, "internal"),
        (ZeroDivisionError("secret words"), 500, "internal"),
        (DurabilityError("secret words"), 503, "overloaded"),
        (StoreRewound("secret words"), 503, "overloaded"),
    ],
)
def test_a_handlers_exception_becomes_a_problem(error, status, code):
    site = Site()
    site.raises = error
    answer = site.ask("GET", "/things/7")
    is_problem(answer, status, code)
    assert b"secret words" not in answer.body
    assert (answer.headers.get("retry-after") == "3") == (getattr(error, "retry_after_s", None) == 3)
    assert site.stopped == isinstance(error, DurabilityError)
    assert ("request_failed" in site.notes.lines) == (
        not isinstance(error, NotFound | Conflict | Overloaded | StoreRewound)
    )


def test_requests_beyond_the_bound_are_refused_and_places_come_back():
    async def scenario() -> None:
        site = Site(requests_max=2)
        gate = asyncio.Event()

        async def wait(called: Call) -> Reply:
            await gate.wait()
            return Reply({})

        site.take = wait  # type: ignore[method-assign]
        app = application(
            [Route("GET", "/wait", wait, "things:write", "Wait")],
            identify,
            site.notes,
            api=limits_of(2),
            quotas=no_quotas,
            on_durability_lost=site.stop,
        )
        waiting = [asyncio.create_task(call(app, "GET", "/wait")) for _ in range(2)]
        await asyncio.sleep(0.01)
        is_problem(await call(app, "GET", "/wait"), 503, "overloaded")
        waiting[0].cancel()
        gate.set()
        assert (await waiting[1]).status == 200
        assert (await call(app, "GET", "/wait")).status == 200

    run(scenario())


def test_a_users_token_and_a_key_may_call_what_both_are_permitted():
    site = Site()
    assert site.ask("POST", "/seen", key="ria").status == 200
    assert site.calls[0].body is None
    assert site.ask("POST", "/seen", b'{"email": "a@b.example"}', key="ria").status == 200
    assert site.ask("POST", "/seen", b'{"email": "a@b.example"}', key="good").status == 200
    assert [one.body for one in site.calls[1:]] == [To("a@b.example")] * 2
    is_problem(site.ask("POST", "/seen", b'{"phone": 1}', key="ria"), 422, "invalid_field", "phone")
    is_problem(site.ask("POST", "/seen", b"{}", key="poor"), 403, "forbidden", "Authorization")
    is_problem(site.ask("GET", "/things/1", key="ria"), 403, "forbidden", "Authorization")


def test_an_optional_body_is_checked_when_it_is_there():
    site = Site()
    for body in (b"", b'{"email": "a@b.example"}'):
        assert site.ask("POST", "/again", body, key="good").status == 200
    assert [one.body for one in site.calls] == [None, To("a@b.example")]
    is_problem(site.ask("POST", "/again", b'{"phone": 1}', key="good"), 422, "invalid_field", "phone")
    is_problem(site.ask("POST", "/again", b"{", key="good"), 400, "malformed_body")


THING = b'name = "ada"\n[[to]]\nemail = "a@example.com"\n[[to]]\n'


@pytest.mark.parametrize("body", [b'{"to": [{"email": "a"}], "name": "b"}', b'{"data": "' + b"x" * 9_000 + b'"}'])
def test_a_compressed_body_is_refused(body):
    site, packed = Site(), {"content-encoding": "gzip"}
    for method, path, headers in (
        ("POST", "/things", packed), ("PUT", "/toml", packed | {"content-type": TOML}), ("PUT", "/lines", packed),
    ):  # fmt: skip
        answer = site.ask(method, path, gzip.compress(body, 0), headers=headers)
        is_problem(answer, 415, "unsupported_encoding", "Content-Encoding")
    assert not site.calls
    is_problem(site.ask("POST", "/things", b"{", headers={"content-encoding": "Identity"}), 400, "malformed_body")


@pytest.mark.parametrize("media", ["application/toml", "Application/TOML; charset=utf-8"])
def test_toml_is_read_where_the_route_and_the_content_type_allow_it(media):
    site = Site()
    assert site.ask("PUT", "/toml", THING, headers={"content-type": media}).status == 200
    assert site.calls[0].body == Thing([To("a@example.com"), To()], "ada")
    is_problem(site.ask("POST", "/things", THING, headers={"content-type": media}), 400, "malformed_body")
    assert site.ask("PUT", "/toml", b'{"name": "ada", "to": []}').status == 200


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (THING.replace(b'"a@example.com"', b"2026-01-01T00:00:00Z"), 422, "invalid_field", "to[0].email"),
        (b'name = "ada"', 422, "invalid_field", "to"),
        (b'{"name": "ada", "to": []}', 400, "malformed_body", None),
        (b"\xff\xfe", 400, "malformed_body", None),
        (b"a = " + b"[" * 9_000, 400, "malformed_body", None),
        (b"a = 1" + b"0" * 9_000, 400, "malformed_body", None),
        (b"#" * (LIMIT + 1), 413, "too_large", None),
    ],
)
def test_toml_that_cannot_be_read_is_refused(body, status, code, field):
    is_problem(Site().ask("PUT", "/toml", body, headers={"content-type": TOML}), status, code, field)


def test_the_cpu_of_a_request_with_a_large_body_is_counted_by_part(monkeypatch):
    site, result = Site(), []

    async def cpu_of(part, work):
        result.append(part)
        return await work

    monkeypatch.setattr(site.notes, "cpu_of", cpu_of)
    monkeypatch.setattr("clarion.ways_in.http.endpoint.METERED_BODY_BYTES_MIN", 1_000)
    monkeypatch.setattr(Site.take, "__module__", "clarion.ways_in.http.routes_notifications")
    for size in (10, 2_000):
        body = msgspec.json.encode({"to": [], "name": "n", "data": {"x": "y" * size}})
        assert run(call(site.app, "POST", "/things", body)).status == 200
    assert result == ["accept"]
