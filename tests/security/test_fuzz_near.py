"""Valid bodies with one or two faults, for every endpoint with a body: accepted or refused with a reason, never a server
error. Random bodies alone rarely pass the first validation."""

import asyncio
import copy
import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.callers import opens
from tests.people import join, signed_in
from tests.security.api import ENDS_CREDENTIALS, OPERATOR_KEY, Api
from tests.security.test_fuzz import ANYTHING, NASTY_TEXT, NUMBERS, TIMES

STEPS = [
    {"kind": "set", "name": "words", "values": {"n": "data.text.size() + 1"}},
    {"kind": "throttle", "name": "seldom", "limit": 1, "per": "1d", "key": "data.text", "otherwise": "end"},
    {"kind": "digest", "name": "collect", "key": "data.text", "first": 3, "window": {"sliding": "1m", "at_most": "1h"}},
    {"kind": "condition", "name": "many", "if": "digest.count > 1", "then": "tell", "otherwise": "ask"},
    {"kind": "send", "name": "tell", "template": "wide", "route": {"first": ["sms", {"all": ["push", "email"]}]}},
    {"kind": "wait_until", "name": "look", "seen": "tell", "timeout": "2m", "next": "end", "on_timeout": "ask"},
    {"kind": "fetch", "name": "ask", "url": "https://api.example.com/{user.id}", "headers": {"X-N": "{vars.n}"}},
    {"kind": "delay", "name": "rest", "at": "09:00", "days": [1, 5]},
    {"kind": "wait_until", "name": "paid", "event": "paid", "where": "event.n == data.text", "timeout": "1h"},
]
ROUNDUP = [
    {"kind": "digest", "name": "collect", "window": {"fixed": "1h"}},
    {"kind": "send", "name": "tell", "template": "wide"},
]
FILTER = {"all": [{"topic": "fans"}, {"not": {"attribute": "a.b", "in": [1, "x"]}}, {"seen_within": "7d"}]}
QUIET = {"windows": [{"start": "22:00", "end": "08:00", "days": [1, 7]}], "channels": ["sms", "push"]}
NOTE = {"to": ["ada", {"phone": "+14155550101"}], "template": "note", "data": {"text": "x"}, "category": "news",
        "channels": ["sms"], "priority": "bulk", "expires_at": "2090-01-01T00:00:00Z", "metadata": {"a": "b"},
        "cancellation_key": "order-7"}  # fmt: skip
RULE = {"event": "paid", "if": "data.n > 0", "notify": [
    {"to": "event.user_id", "template": "note", "channels": ["sms"], "data": {"text": "string(data.n)"}},
    {"to": "data.others", "workflow": "flow", "data": {"text": "data.text"}}]}  # fmt: skip
EVENT = {"type": "paid", "user_id": "ada", "data": {"n": 1, "text": "x", "others": ["ada"]}}
QUOTA = {"rate_per_s": 10, "burst": 100, "daily": 1_000}
DAILY = {"rrule": "FREQ=WEEKLY;BYDAY=MO,FR", "start": "2026-12-01T09:00", "zone": "Asia/Kolkata"}
TARGET = {"to": {"topic": "fans"}, "template": "note", "data": {"text": "x"}, "too_late": "1h", "expires_after": "2d"}
CATEGORY = {"priority": "bulk", "defaults": {"sms": False}, "hold_max": "12h", "over_cap": "digest",
            "digest_workflow": "roundup", "caps": [{"limit": 3, "per": "1h", "channel": "sms"}],
            "route": {"first": ["push", {"all": ["sms", "email"]}], "until": "seen", "within": "2m"}}  # fmt: skip
USER = {"email": "a@b.example", "phone": "+14155550101", "contacts": {"email": ["c@d.example"]}, "zone": "Asia/Tokyo",
        "locale": "pt-BR", "attributes": {"plan": {"name": "pro"}}, "quiet_hours": QUIET, "topics": ["fans"],
        "preferences": {"news": {"sms": {"allowed": False, "until": "2090-01-01T00:00:00Z"}}},
        "devices": [{"id": "d", "channel": "push", "token": "t"}]}  # fmt: skip
PREFERENCES = {"news": {"sms": False}, "*": {"*": True}}
TEMPLATE = {"channels": {"sms": {"body": "{% t plain %} {{ data.x }}"}, "push": {"title": "t", "data": {"a": ["{{ data.x }}"]}}},
            "locale": "en", "locales": {"en": {"messages": {"hi": {"one": "a", "other": "b"}, "plain": "c"}},
                                        "de": {"channels": {"push": {"title": "d"}}}},
            "variables": {"type": "object", "properties": {"x": {"type": ["string", "number"], "pattern": "."}},
                          "required": ["x"], "$defs": {"y": {"enum": [1]}}},
            "sample": {"data": {"x": "y"}, "user": {"name": "Ada"}}, "category": "news", "engine": "liquid", "text": "z"}  # fmt: skip
GOOD = {
    "/v1/inbox/marks": {"action": "snooze", "all": True, "show": "unread", "category": "news", "workflow": "flow",
                        "until": "2090-01-01T00:00:00Z"},
    "/v1/notifications": NOTE,
    "/v1/roles/{key}": {"permissions": ["topics:read", "users:read"], "name": "Readers"},
    "/v1/members/{key}": {"role": "auditor"},
    "/v1/invitations": {"email": "guest@example.com", "role": "support"},
    "/v1/session/tenant": {"tenant": "acme"},
    "/v1/tenants/{id}/invitations": {"email": "guest@example.com", "role": "owner"},
    "/v1/operators/invitations": {"email": "root@example.com"},
    "/v1/operators/resets": {"email": "pat@example.com"},
    "/v1/notifications/batch": {"notifications": [NOTE, {"to": "ada", "workflow": "flow", "data": {"text": "x"}, "ordering_key": "a"}]},
    "/v1/notifications/explain": NOTE,
    "/v1/notifications/cancel": {"cancellation_key": "order-7"},
    "/v1/notifications/{id}/seen": {"user_id": "ada"},
    "/v1/broadcasts": {"audience": {"segment": "fans"}, "template": "note", "data": {"text": "x"},
                       "local_time": f"{datetime.now(UTC) + timedelta(days=30):%Y-%m-%dT%H:%M}"},
    "/v1/events": EVENT,
    "/v1/events/dry-run": EVENT,
    "/v1/dead-letters/replay": {"ids": ["dlv_" + "0" * 26]},
    "/v1/tenants/{id}": {"name": "Acme"},
    "/v1/tenants/{id}/keys": {"name": "k", "scopes": ["users:read"]},
    "/v1/tenants/{id}/keys/{key_id}/rotate": {"overlap_s": 60},
    "/v1/tenants/{id}/keys/{key_id}/networks": {"networks": ["192.0.2.0/24", "2001:db8::/32"]},
    "/v1/keys/current/rotate": {"overlap_s": 3600},
    "/v1/users/tokens/rotate-key": {"overlap_s": 3600},
    "/v1/tenants/{id}/quota": QUOTA,
    "/v1/tenants/{id}/keys/{key_id}/quota": QUOTA,
    "/v1/preferences/defaults": {"*": {"sms": False}},
    "/v1/users/{id}": USER,
    "/v1/users/{id}/preferences": PREFERENCES,
    "/v1/users/{id}/quiet-hours": QUIET,
    "/v1/me/preferences": PREFERENCES,
    "/v1/me/quiet-hours": QUIET,
    "/v1/users/{id}/devices/{device_id}": {"channel": "push", "token": "t"},
    "/v1/users/{id}/tokens": {"ttl_s": 60},
    "/v1/topics/{key}": {"name": "Fans"},
    "/v1/topics/{key}/members": {"user_ids": ["ada"]},
    "/v1/segments/preview": {"filter": FILTER},
    "/v1/segments/{key}": {"filter": FILTER, "name": "Fans"},
    "/v1/schedules/preview": DAILY,
    "/v1/schedules/{key}": DAILY | TARGET,
    "/v1/event-rules/{key}": RULE,
    "/v1/workflows/{key}": {"steps": STEPS, "category": "news", "variables": ["text"], "defaults": {"sms": True}},
    "/v1/categories/{key}": CATEGORY,
    "/v1/policy": {"quiet_hours": QUIET, "zone": "Asia/Tokyo", "caps": [{"limit": 9, "per": "1d"}]},
    "/v1/origins": {"origins": ["https://app.example.com", "https://*.example.org"]},
    "/v1/templates/{key}": TEMPLATE,
    "/v1/templates/{key}/publish": {"version": 1, "note": "n"},
    "/v1/templates/{key}/rollback": {"version": 1, "note": "n"},
    "/v1/templates/{key}/preview": {"data": {"x": 1}, "user": {"name": "x"}, "locale": "de-AT", "channels": ["sms"]},
    "/v1/templates/{key}/test": {"channel": "sms", "address": "+14155550101", "data": {"x": 1}, "locale": "de"},
    "/v1/layouts/{key}": {"mjml": "<mjml><mj-body>{{ content }}</mj-body></mjml>", "text": "{{ content }}", "locale": "en",
                          "locales": {"de": {"messages": {"foot": "f"}}}},
    "/v1/partials/{key}": {"source": "{{ data.x }}", "engine": "liquid"},
    "/v1/brand": {"name": "Acme", "primary_color": "#abc", "logo_url": "https://example.com/logo.png"},
    "/v1/providers/{name}": {"channel": "sms", "vendor": "sandbox", "priority": 1, "settings": {"latency_ms": 1}},
    "/v1/suppressions": {"channel": "sms", "address": "+14155550101", "reason": "manual"},
}  # fmt: skip
ODD = NASTY_TEXT | NUMBERS | TIMES | ANYTHING | st.sampled_from([
    "1h", "0s", "9999w", "-1s", "end", "push", "24:00", "data.", "data.a.b.c", "1/0 == 1", "[1].map(x, x)[9]", "Z",
    "FREQ=SECONDLY", "*/7 * * * *", {}, [], [[]], {"first": ["sms"]}, {"all": []}, True,
])  # fmt: skip


def places(value, path=()):
    """Yield the path of everything inside a body."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in inner:
        yield (*path, name)
        yield from places(part, (*path, name))


@st.composite
def spoilt(draw, good):
    """Return a valid body with one or two parts replaced, removed, repeated, or added."""
    body = copy.deepcopy(good)
    for _ in range(draw(st.integers(1, 2))):
        found = list(places(body))
        if not found:
            break
        *path, last = draw(st.sampled_from(found))
        holder = body
        for name in path:
            holder = holder[name]
        match draw(st.integers(0, 5)):
            case 0:
                del holder[last]
            case 1 if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[last]))
            case 2 if isinstance(holder, dict):
                holder[draw(NASTY_TEXT)] = copy.deepcopy(draw(ODD))
            case _:
                holder[last] = copy.deepcopy(draw(ODD))
    return body


@pytest.fixture(scope="module")
def running(furnished):
    """Return an API with the definitions that the bodies name, a loop to call it on, and a path for each route."""
    data_dir, keys = furnished
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as folder:
        shutil.copytree(data_dir, Path(folder) / "api")

        async def opened():
            api = Api(Path(folder) / "api")
            api.keys = dict(keys)
            api.people["person"] = await signed_in(api, "pat", "acme", "owner")
            await join(api.parts, "acme", "fuzzed", "support")
            api.keys["ada"] = (await api.ok("POST", "/v1/users/ada/tokens", {})).json["token"]
            made = await api.ok("POST", "/v1/tenants/acme/keys", {"scopes": ["*"]}, key=OPERATOR_KEY)
            wide = {"sms": {"body": "b"}, "push": {"title": "t"}, "email": {"subject": "s", "text": "t"}}
            await api.ok("PUT", "/v1/templates/wide", {"channels": wide})
            await api.ok("PUT", "/v1/templates/fuzzed", TEMPLATE)
            await api.ok("PUT", "/v1/workflows/roundup", {"steps": ROUNDUP})
            for path in ("/v1/workflows/flow", "/v1/segments/fans", "/v1/event-rules/paid"):
                await api.ok("PUT", path, GOOD[path.rpartition("/")[0] + "/{key}"])
            sent = await api.ok("POST", "/v1/notifications", NOTE | {"cancellation_key": "kept"})
            return api, {"{key_id}": made.json["id"], "/notifications/{id}": f"/notifications/{sent.json['id']}"}

        api, known = runner.run(opened())
        yield api, runner, known
        runner.run(api.close())


def test_every_endpoint_that_takes_a_body_is_here(running):
    api, _, _ = running
    assert {route.path for route in api.routes if route.body is not None} == GOOD.keys()


@pytest.mark.slow
@pytest.mark.parametrize("path", GOOD)
def test_a_good_body_is_taken_and_a_spoilt_one_is_no_server_error(running, path):
    api, runner, known = running
    route = next(route for route in api.routes if route.path == path and route.body is not None)
    tenant = "other" if path in ENDS_CREDENTIALS else "acme"
    key = {"operator": OPERATOR_KEY, "user": "ada", "person": "person"}.get(opens(route.permission), tenant)

    def put(body):
        raw = json.dumps(body).encode()  # as a careless client writes it, lone surrogates and all
        api.failures.clear()
        answer = runner.run(api.call(route.method, _path(path, known), raw, key=key))
        assert answer.status < 500, (path, raw, answer, api.failures)
        assert answer.status < 400 or answer.json["detail"]
        return answer

    @settings(max_examples=150, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True)
    @given(spoilt(GOOD[path]))
    def check(body):
        put(body)

    assert put(GOOD[path]).status < 400
    check()
    after = put(GOOD[path])
    assert after.status < 400 or after.json["code"] == "key_already_rotated", after


def _path(path, known):
    for place, value in {**known, "/tenants/{id}": "/tenants/acme"}.items():
        path = path.replace(place, value)
    for place, value in {"{key}": "fuzzed", "{name}": "fuzzed", "{id}": "ada", "{device_id}": "d"}.items():
        path = path.replace(place, "fans" if place == "{key}" and "/topics/" in path else value)
    return path
