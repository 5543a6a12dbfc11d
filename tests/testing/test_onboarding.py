"""The acceptance test of the virtual clock: three weeks of onboarding, to the second, in less than one."""

import time
from pathlib import Path

import pytest

from clarion.testing import Clarion

WORKFLOW = Path(__file__).with_name("onboarding.toml")
NEWS = {
    "steps": [
        {"kind": "digest", "name": "week", "window": {"at": "09:00", "days": [1]}},
        {"kind": "send", "name": "tell", "template": "news"},
    ]
}
TEMPLATES = {
    "welcome": {"push": {"title": "Welcome, {{ name }}"}, "sms": {"body": "Welcome, {{ name }}"}},
    "tips": {"email": {"subject": "Tips for {{ name }}", "text": "Start here."}},
    "nudge": {"push": {"title": "Complete your profile"}},
    "weekend": {"email": {"subject": "A ride for the weekend", "text": "On us."}},
    "last_call": {"sms": {"body": "Your free ride ends today"}},
    "news": {"email": {"subject": "{{ digest.count }} joined, {{ digest.items[0].who }} first", "text": "See who."}},
}


@pytest.fixture
def clarion():
    with Clarion(start="2026-03-02T09:00:00Z") as clarion:
        clarion.put_policy({"quiet_hours": {"windows": [{"start": "21:00", "end": "08:00"}]}, "zone": "Europe/Rome"})
        clarion.put_category("onboarding", {"quiet_hours": True})
        for key, channels in TEMPLATES.items():
            clarion.put_template(key, {"channels": channels})
        clarion.put_workflow("onboarding", WORKFLOW)
        clarion.put_workflow("team_news", NEWS)
        clarion.put_event_rule(
            "team", {"event": "team.joined", "notify": [{"to": "data.owner", "workflow": "team_news"}]}
        )
        for name, zone in (("ana", "Europe/Rome"), ("kim", "Asia/Seoul")):
            devices = [{"id": "phone", "channel": "push", "token": f"token-of-{name}"}]
            contacts = {"email": f"{name}@example.com", "phone": "+12025550143"}
            clarion.put_user(name, {**contacts, "zone": zone, "devices": devices})
        yield clarion


def sent_to(clarion, user_id):
    return [
        (d.at, d.channel, d.template, d.content.get("title") or d.content.get("subject") or d.content.get("body"))
        for d in clarion.deliveries
        if d.user_id == user_id
    ]


def live_three_weeks(clarion):
    clarion.notify(to="ana", workflow="onboarding", data={"name": "Ana"})
    kims = clarion.notify(to="kim", workflow="onboarding", data={"name": "Kim"})
    clarion.run_for("30m")
    clarion.seen("kim", kims)
    for day, who in (("2026-03-04", "Bo"), ("2026-03-05", "Cy"), ("2026-03-08", "Di"), ("2026-03-09", "Ed")):
        clarion.run(until=f"{day}T12:00:00Z")
        clarion.event("team.joined", {"owner": "ana", "who": who})
    clarion.event("profile.completed", user_id="kim")
    clarion.run(until="2026-03-14T10:00:00Z")
    clarion.seen("kim", kims)
    clarion.run(until="2026-03-23T09:00:00Z")


ANA = [
    ("2026-03-02T09:00:00Z", "push", "welcome", "Welcome, Ana"),
    ("2026-03-02T11:00:00Z", "sms", "welcome", "Welcome, Ana"),  # the push was not seen for two hours
    ("2026-03-03T07:00:00Z", "email", "tips", "Tips for Ana"),  # was due at 22:00 in Rome, so at 08:00 there
    ("2026-03-09T08:00:00Z", "email", "news", "3 joined, Bo first"),  # Monday 09:00 in Rome
    ("2026-03-10T07:00:00Z", "push", "nudge", "Complete your profile"),  # held for the night, too
    ("2026-03-13T17:30:00Z", "email", "weekend", "A ride for the weekend"),  # Friday 18:30 in Rome
    ("2026-03-16T08:00:00Z", "email", "news", "1 joined, Ed first"),
    ("2026-03-20T17:30:00Z", "sms", "last_call", "Your free ride ends today"),
]
KIM = [
    ("2026-03-02T09:00:00Z", "push", "welcome", "Welcome, Kim"),  # seen, so there is no SMS
    ("2026-03-02T23:00:00Z", "email", "tips", "Tips for Kim"),  # was due at 06:00 in Seoul, so at 08:00 there
    ("2026-03-13T09:30:00Z", "email", "weekend", "A ride for the weekend"),  # no nudge; and seen, so no last call
]


def test_three_weeks_of_onboarding_give_exactly_these_deliveries(clarion):
    live_three_weeks(clarion)
    assert sent_to(clarion, "ana") == ANA
    assert sent_to(clarion, "kim") == KIM
    assert clarion.now == "2026-03-23T09:00:00Z"
    assert clarion.faults == []


def test_every_instance_has_ended_once(clarion):
    live_three_weeks(clarion)
    listed = clarion.call("GET", "/v1/notifications")["data"]
    whole = [clarion.notification(one["id"]) for one in listed]
    states = sorted(instance["state"] for one in whole for instance in one["instances"])
    assert states == ["completed"] * 4 + ["merged"] * 2


def test_three_weeks_take_less_than_a_second(clarion):
    began_s = time.process_time()
    live_three_weeks(clarion)
    assert time.process_time() - began_s < 1.0
