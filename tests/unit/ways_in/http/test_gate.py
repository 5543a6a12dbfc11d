"""What passes before a body is read: limits on requests, waits after refused keys, slots, and what is logged of each."""

import asyncio
from typing import Any

import msgspec

from clarion.domain.errors import QuotaExceeded, QuotaStatus, Unauthorized
from clarion.domain.permissions import PUBLIC
from clarion.edge.cycle import VOUCH
from clarion.ports.web import Call, Reply, Route
from clarion.ways_in.http.application import application
from tests.callers import by_key
from tests.stages.virtual import run
from tests.unit.ways_in.http.asgi import call
from tests.unit.ways_in.http.test_endpoint import Site, identify, is_problem, limits_of, no_quotas
from tests.unit.ways_in.http.test_rate_limit_fields import parsed

EVENTS = QuotaStatus(50, 40, 2, 10)


def watched(site: Site) -> list[Any]:
    """Return the list that the site's security events will be in."""
    events: list[Any] = []
    site.notes.security = lambda event, **fields: events.append((event.value, fields))  # type: ignore[method-assign]
    return events


def test_a_key_over_its_limit_is_refused_unread_and_others_are_not():
    site = Site(key_per_s=1, key_burst=2, user_per_s=1, user_burst=5)
    events = watched(site)
    for remaining in (1, 0):
        answer = site.ask("GET", "/things/7")
        assert answer.status == 200
        assert parsed(answer.headers["ratelimit-policy"]) == {"requests": {"q": 2, "w": 2}}
        assert parsed(answer.headers["ratelimit"]) == {"requests": {"r": remaining, "t": 2 - remaining}}
    # Reading the body would fail: it is cut off.
    answer = site.ask("POST", "/things", b"{", gone=True)
    is_problem(answer, 429, "request_limit_reached")
    assert answer.headers["retry-after"] == "1"
    assert parsed(answer.headers["ratelimit"]) == {"requests": {"r": 0, "t": 1}}
    assert events == [
        (
            "request_limit_reached",
            {"reason": "request_limit_reached", "peer": "", "route": "POST /things", "tenant": "acme", "key_id": "k1"},
        )
    ]
    assert site.ask("GET", "/things/7", key="wild").status == 200
    assert site.ask("GET", "/inbox", key="ria").status == 200
    assert len(site.calls) == 4


def test_refusals_cost_a_request_and_say_what_is_left():
    site = Site(key_per_s=1, key_burst=3)
    assert parsed(site.ask("POST", "/things", b"{").headers["ratelimit"])["requests"]["r"] == 2
    site.raises = QuotaExceeded("full", code="quota_exceeded", retry_after_s=2, quota_status=EVENTS)
    answer = site.ask("GET", "/things/7")
    assert parsed(answer.headers["ratelimit"]) == {"requests": {"r": 1, "t": 2}, "events": {"r": 40, "t": 2}}
    assert parsed(answer.headers["ratelimit-policy"])["events"] == {"q": 50, "qu": "events", "w": 10}
    site.raises = ZeroDivisionError()
    assert site.ask("GET", "/things/7").status == 500
    assert site.ask("GET", "/things/7").status == 429


def test_a_public_route_is_limited_and_health_is_not():
    async def answered(_: Call) -> Reply:
        return Reply(quota=EVENTS)

    site = Site()
    routes = [
        Route("GET", "/page", answered, PUBLIC, "For all"),
        Route("GET", "/health", answered, PUBLIC, "Alive", health=True),
    ]
    events = watched(site)
    app = application(
        routes,
        identify,
        site.notes,
        api=limits_of(public_per_s=1, public_burst=2),
        quotas=no_quotas,
        on_durability_lost=site.stop,
    )
    assert [run(call(app, "GET", "/page", key=None)).status for _ in range(3)] == [200, 200, 429]
    assert [run(call(app, "GET", "/health", key=None)).status for _ in range(9)] == [200] * 9
    assert run(call(app, "GET", "/docs", key=None)).status == 200
    refused = run(call(app, "GET", "/docs", key=None))
    assert refused.status == 429, "it counts as many requests, and as all that fit at most"
    assert refused.headers["connection"] == "close"
    assert [fields["route"] for _, fields in events] == ["GET /page", "GET /docs"]
    assert list(parsed(run(call(app, "GET", "/health", key=None)).headers["ratelimit"])) == ["events"]


def test_a_request_that_proves_its_caller_costs_nothing_unless_it_fails():
    site, vouched = Site(), []
    statuses = iter([200] * 9 + [401] * 3)

    async def checked(_: Call) -> Reply:
        if next(statuses) == 401:
            raise Unauthorized("forged")
        return Reply()

    app = application(
        [Route("POST", "/receipts", checked, PUBLIC, "Signed", proves=True)],
        identify,
        site.notes,
        api=limits_of(public_per_s=1, public_burst=2),
        quotas=no_quotas,
        on_durability_lost=site.stop,
    )
    state = {VOUCH: lambda: vouched.append(1)}
    answers = [run(call(app, "POST", "/receipts", key=None, state=state)).status for _ in range(13)]
    assert answers == [200] * 9 + [401, 401, 429, 429]
    assert len(vouched) == 9


def test_a_caller_over_its_own_limit_keeps_its_connection():
    site = Site(key_per_s=1, key_burst=1)
    assert site.ask("GET", "/things/7").status == 200
    refused = site.ask("GET", "/things/7")
    assert refused.status == 429
    assert "connection" not in refused.headers


def test_a_guessing_peer_waits_and_a_known_key_goes_on():
    site = Site(refused_keys=2)
    events = watched(site)
    assert site.ask("GET", "/things/7").status == 200
    assert [site.ask("GET", "/things/7", key=key).status for key in "abcd"] == [401, 401, 401, 429]
    answer = site.ask("POST", "/things", b"{", key="wild", gone=True)
    is_problem(answer, 429, "credentials_delayed")
    assert answer.headers["retry-after"] == "1"
    assert "ratelimit" not in answer.headers
    assert site.ask("GET", "/things/7").status == 200
    assert [name for name, _ in events] == ["credential_refused"] * 3 + ["credential_delayed"] * 2
    # A request without a key is no guess.
    assert site.ask("GET", "/things/7", key=None).status == 401
    assert events[-1] == ("credential_refused", {"reason": "missing", "peer": "", "route": "GET /things/{id}"})


def test_a_missing_permission_is_named_and_logged():
    site = Site()
    events = watched(site)
    detail = site.ask("GET", "/operate", key="wild").json["detail"]
    assert detail == "the credential lacks the permission 'tenants:read' of the scope 'operator'"
    site.ask("GET", "/operate", key="ria")
    shared = {"reason": "tenants:read", "peer": "", "route": "GET /operate", "tenant": "acme"}
    assert events == [
        ("scope_refused", shared | {"key_id": "k2"}),
        ("scope_refused", shared | {"user": "ria"}),
    ]


def test_slow_requests_of_one_tenant_leave_places_for_another():
    async def scenario() -> None:
        site, gate = Site(), asyncio.Event()
        events = watched(site)

        async def wait(called: Call) -> Reply:
            if called.caller.tenant == "acme":
                await gate.wait()
            return Reply({})

        async def of_tenant(secret: str, _address: str) -> Any:
            return by_key(secret, {"things:write"})

        api = limits_of(4)
        api = msgspec.structs.replace(api, max_requests_per_tenant=2)
        routes = [Route("GET", "/wait", wait, "things:write", "Wait")]
        app = application(routes, of_tenant, site.notes, api=api, quotas=no_quotas, on_durability_lost=site.stop)
        waiting = [asyncio.create_task(call(app, "GET", "/wait", key="acme")) for _ in range(2)]
        await asyncio.sleep(0.01)
        refused = await call(app, "GET", "/wait", key="acme")
        is_problem(refused, 503, "concurrency_limit_reached")
        assert refused.headers["retry-after"] == "1"
        assert parsed(refused.headers["ratelimit"])["requests"]["r"] > 0
        assert (await call(app, "GET", "/wait", key="other")).status == 200
        assert [(name, fields["reason"], fields["tenant"]) for name, fields in events] == [
            ("request_limit_reached", "concurrency_limit_reached", "acme")
        ]
        gate.set()
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [200, 200]

    run(scenario())
