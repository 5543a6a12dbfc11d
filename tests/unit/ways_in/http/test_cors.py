"""CORS of routes that take user tokens: what a preflight says, which pages may read, and which may change."""

import asyncio

import pytest

from clarion.domain.errors import NotFound
from clarion.domain.origins import is_allowed
from clarion.ports.web import Reply, Route
from clarion.ways_in.http.application import application
from tests.callers import by_key, by_user
from tests.stages.world import Notes
from tests.unit.ways_in.http.asgi import call
from tests.unit.ways_in.http.test_endpoint import limits_of, no_quotas

PAGE, EVIL = "https://app.example.com", "https://evil.example"
CALLERS = {
    "ria": by_user("ria"),
    "key": by_key(permissions={"things:write", "seen:write"}),
}


class AcmesOrigins:
    own = b"https://notify.example.com"

    async def allow(self, tenant, origin):
        return tenant == "acme" and is_allowed(origin, {PAGE})


class Site:
    def __init__(self):
        self.calls = 0
        self.notes = Notes()
        routes = [
            Route("GET", "/me", self.take, "inbox:read", "Read"),
            Route("PUT", "/me", self.take, "inbox:write", "Write"),
            Route("POST", "/seen/{id}", self.take, "seen:write", "For both"),
            Route("DELETE", "/seen/{id}", self.take, "things:write", "For keys"),
            Route("POST", "/things", self.take, "things:write", "For keys"),
            Route("GET", "/gone/{id}", self.miss, "inbox:read", "Nothing"),
            Route("POST", "/once", self.take, "inbox:write", "Write once", idempotency_key=True),
        ]
        self.app = application(
            routes,
            self.identify,
            self.notes,
            api=limits_of(9),
            quotas=no_quotas,
            on_durability_lost=lambda error: None,
            origins=AcmesOrigins(),
        )

    async def identify(self, secret, _peer):
        return CALLERS.get(secret)

    async def take(self, _call):
        self.calls += 1
        return Reply({})

    async def miss(self, _call):
        raise NotFound("there is no such thing")

    def ask(self, method, path, origin, key="ria", **headers):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if origin is not None:
            sent["origin"] = origin
        return asyncio.run(call(self.app, method, path, key=key, headers=sent))


def cors_of(answer):
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control")}


def test_an_allowed_page_reads_and_changes():
    site = Site()
    for method, path in (("GET", "/me"), ("PUT", "/me"), ("POST", "/seen/7")):
        answer = site.ask(method, path, PAGE)
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "RateLimit" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origin", [EVIL, "null", "https://app.example.com.evil.example", "*"])
def test_another_page_cannot_read_and_its_changes_are_refused_before_anything_is_done(origin):
    site = Site()
    assert cors_of(site.ask("GET", "/me", origin)) == {}
    assert site.calls == 1
    for method, path in (("PUT", "/me"), ("POST", "/seen/7")):
        answer = site.ask(method, path, origin)
        assert (answer.status, answer.json["code"], answer.json["field"]) == (403, "origin_not_allowed", "Origin")
        assert cors_of(answer) == {}
    assert site.calls == 1
    assert site.notes.lines == ["origin_refused"] * 2


def test_requests_of_the_apis_own_pages_and_of_no_page_need_no_permission():
    site = Site()
    own = {"sec_fetch_site": "same-origin"}
    assert site.ask("PUT", "/me", EVIL, **own).status == 200
    assert site.ask("PUT", "/me", "https://notify.example.com").status == 200
    answer = site.ask("PUT", "/me", None)
    assert answer.status == 200 and cors_of(answer) == {} and answer.headers["vary"] == "Origin"


def test_api_keys_get_no_headers():
    site = Site()
    for path in ("/seen/7", "/things"):
        answer = site.ask("POST", path, PAGE, key="key")
        assert answer.status == 200 and cors_of(answer) == {}
    assert cors_of(site.ask("GET", "/me", PAGE, key="key")) == {}
    assert site.notes.lines == ["scope_refused"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("DELETE", "/seen/7", 403), ("GET", "/gone/7", 404), ("GET", "/me?a=%FF", 400)]
)
def test_an_allowed_page_can_read_why_it_was_refused(method, path, status):
    allowed = Site().ask(method, path, PAGE)
    assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (status, PAGE)
    assert "RateLimit" in allowed.headers["access-control-expose-headers"]
    other = Site().ask(method, path, EVIL)
    assert (other.status, cors_of(other)) == (status, {})
    by_key = Site().ask(method, path, PAGE, key="key")
    assert cors_of(by_key) == {}


def test_every_page_can_read_that_a_path_has_no_such_method():
    answer = Site().ask("PATCH", "/me", EVIL)
    assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_preflight_permits_an_idempotency_key_where_a_method_takes_one():
    answer = Site().ask("OPTIONS", "/once", PAGE, key=None, access_control_request_method="POST")
    assert cors_of(answer)["access-control-allow-headers"] == "Authorization, Content-Type, Idempotency-Key"


def test_every_page_can_read_that_its_token_has_ended():
    answer = Site().ask("GET", "/me", EVIL, key="old")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (401, "*")


@pytest.mark.parametrize(("path", "methods"), [("/me", "GET, PUT"), ("/seen/7", "POST")])
def test_a_preflight_says_the_same_to_every_page_and_needs_no_token(path, methods):
    site = Site()
    answers = [
        site.ask("OPTIONS", path, origin, key=None, access_control_request_method="PUT")
        for origin in (PAGE, EVIL, "null")
    ]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].status == 204 and answers[0].body == b""
    assert cors_of(answers[0]) == {
        "access-control-allow-origin": "*", "access-control-allow-methods": methods,
        "access-control-allow-headers": "Authorization, Content-Type", "access-control-max-age": "7200",
    }  # fmt: skip
    assert site.calls == 0


def test_other_uses_of_options_are_refused():
    site = Site()
    assert site.ask("OPTIONS", "/me", PAGE, key=None).status == 405
    refused = site.ask("OPTIONS", "/things", PAGE, key=None, access_control_request_method="POST")
    assert refused.status == 405 and cors_of(refused) == {}
