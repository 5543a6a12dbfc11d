"""Rules of categories and a tenant's policy over a real store: planning reads them, and refusals name the path."""

import pytest

from clarion.domain.cap import Cap
from clarion.domain.channel import Channel
from clarion.domain.content import Category, CategoryRules
from clarion.domain.errors import InvalidField
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.quiet import DISTURBING, QuietHours, QuietWindow
from clarion.domain.route import Route
from tests import lookups
from tests.registries import definitions_of

PLAIN = {
    "critical": False, "priority": "normal", "defaults": {}, "quiet_hours": True, "hold_max": "24h", "caps": [],
    "over_cap": "skip", "digest_workflow": None, "route": None, "on_outage": "degrade",
}  # fmt: skip
NIGHT = {"start": "22:00", "end": "08:00"}

ROUNDUP = b"""{"steps": [{"kind": "digest", "name": "collect", "window": {"fixed": "1h"}},
{"kind": "send", "name": "tell", "template": "t"}]}"""


async def refused(control_plane, target, body):
    with pytest.raises(InvalidField) as error:
        await control_plane.call("PUT", target, body)
    return error.value.field


async def test_a_categorys_rules_are_what_planning_reads(control_plane):
    await definitions_of(control_plane.control, control_plane.clock).put("acme", "workflow", "roundup", ROUNDUP)
    body = {
        "defaults": {"sms": False}, "priority": "bulk", "quiet_hours": False, "hold_max": "3h",
        "caps": [{"limit": 3, "per": "1d", "channel": "push"}, {"limit": 1, "per": "1h"}],
        "over_cap": "digest", "digest_workflow": "roundup",
        "route": {"first": ["push", {"all": ["sms", "email"]}], "until": "seen", "within": "2m"},
    }  # fmt: skip
    shown = await control_plane.say("PUT", "/v1/categories/news", body)
    assert {name: shown[name] for name in body} == body and shown["key"] == "news"
    assert await control_plane.say("GET", "/v1/categories/news") == shown
    assert (await control_plane.say("GET", "/v1/categories"))["data"] == [shown]
    assert (await lookups.category(control_plane.directory, "acme", "news")).rules == CategoryRules(
        quiet_hours=False, hold_max="3h", over_cap="digest", digest_workflow="roundup",
        caps=(Cap(3, "1d", Channel.PUSH), Cap(1, "1h")),
        route=Route(first=(Channel.PUSH, Route(all=(Channel.SMS, Channel.EMAIL))), until="seen", within="2m"),
    )  # fmt: skip


async def test_a_category_that_says_nothing_is_as_it_always_was(control_plane):
    assert await control_plane.say("PUT", "/v1/categories/news", {}) == PLAIN | {"key": "news", "name": ""}
    assert await lookups.category(control_plane.directory, "acme", "news") == Category("news")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"critical": True, "caps": [{"limit": 1, "per": "1d"}]}, "caps"),
        ({"caps": [{"limit": 0, "per": "1d"}]}, "caps[0].limit"),
        ({"caps": [{"limit": 1, "per": "1d"}, {"limit": 1, "per": "2y"}]}, "caps[1].per"),
        ({"hold_max": "8d"}, "hold_max"),
        ({"hold_max": "long"}, "hold_max"),
        ({"over_cap": "digest"}, "digest_workflow"),
        ({"over_cap": "digest", "digest_workflow": "nowhere"}, "digest_workflow"),
        ({"route": {"first": ["push", "push"]}}, "route.first[1]"),
        ({"route": {}}, "route"),
        ({"defaults": {"fax": True}}, "defaults.fax"),
    ],
)
async def test_a_refused_category_is_not_stored(control_plane, body, field):
    assert await refused(control_plane, "/v1/categories/news", body) == field
    assert (await control_plane.say("GET", "/v1/categories"))["data"] == []


async def test_what_is_over_a_cap_goes_into_a_workflow_that_collects_first(control_plane):
    at_once = b'{"steps": [{"kind": "send", "name": "tell", "template": "t"}]}'
    await definitions_of(control_plane.control, control_plane.clock).put("acme", "workflow", "at_once", at_once)
    body = {"over_cap": "digest", "digest_workflow": "at_once"}
    assert await refused(control_plane, "/v1/categories/news", body) == "digest_workflow"


async def test_a_policy_is_what_planning_reads(control_plane):
    usual = await control_plane.say("GET", "/v1/policy")
    assert usual == {
        "quiet_hours": {"windows": [], "channels": list(DISTURBING)},
        "zone": "UTC",
        "locale": "",
        "caps": [],
    }
    assert await control_plane.say("PUT", "/v1/policy", {}) == usual
    body = {
        "quiet_hours": {"windows": [NIGHT | {"days": [7, 6, 6]}], "channels": ["sms", "push"]},
        "zone": "Asia/Kolkata",
        "caps": [{"limit": 10, "per": "1d"}],
    }
    shown = await control_plane.say("PUT", "/v1/policy", body)
    assert shown == await control_plane.say("GET", "/v1/policy")
    assert shown["quiet_hours"] == {"windows": [NIGHT | {"days": [6, 7]}], "channels": ["sms", "push"]}
    control_plane.settle()
    assert (await lookups.definition(control_plane.directory, "acme", Policy, POLICY_KEY)).body == Policy(
        QuietHours((QuietWindow("22:00", "08:00", (6, 7)),), (Channel.SMS, Channel.PUSH)),
        "Asia/Kolkata",
        (Cap(10, "1d"),),
    )
    assert (await control_plane.say("GET", "/v1/policy", tenant="other")) == usual


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": ""}, "zone"),
        ({"quiet_hours": {"windows": [NIGHT | {"days": [0]}]}}, "quiet_hours.windows[0].days"),
        ({"caps": [{"limit": 1, "per": "10s"}]}, "caps[0].per"),
    ],
)
async def test_a_refused_policy_leaves_the_old_one(control_plane, body, field):
    before = await control_plane.say("PUT", "/v1/policy", {"zone": "Europe/Rome"})
    assert await refused(control_plane, "/v1/policy", body) == field
    assert await control_plane.say("GET", "/v1/policy") == before
