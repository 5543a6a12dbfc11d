"""Broadcasts under the rules of single notifications: caps, quiet hours, routes, workflows."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.outside import new_tenant, one, until

USERS = 1_200
OFFER = {"push": {"title": "Offer"}, "email": {"subject": "Offer", "text": "Offer"}, "inapp": {"title": "Offer"}}


def person(number):
    """Return a user: every 3rd has no device; every 4th is in quiet hours from an hour ago until in two hours."""
    now = datetime.now(UTC)
    night = {"windows": [{"start": f"{now - timedelta(hours=1):%H:%M}", "end": f"{now + timedelta(hours=2):%H:%M}"}]}
    return {
        "id": f"user-{number:04}",
        "email": f"user{number}@example.com",
        "zone": "UTC",
        "devices": [] if number % 3 == 0 else [{"id": "phone", "channel": "push", "token": f"token-{number}"}],
        "quiet_hours": night if number % 4 == 0 else {"windows": []},
    }


@pytest.fixture
def home(operator):
    tenant = new_tenant(operator, "rules").seed_data({"offer": OFFER}, ("push", "email"))
    lines = b"\n".join(json.dumps(person(number)).encode() for number in range(USERS))
    assert tenant.post("/v1/users/bulk", lines)["stored"] == USERS
    return tenant


def finished(home, category, channels=("push",), **more):
    """Send to all users; return the counts per channel once all results are recorded."""
    body = {"audience": {"all": True}, "category": category, **more}
    if "workflow" not in body:
        body["template"] = "offer"
    if channels:
        body["channels"] = list(channels)
    id_ = home.post("/v1/broadcasts", body)["id"]

    def settled():
        result = home.get(f"/v1/broadcasts/{id_}")
        counted = sum(result["states"].values()) == result["planned"] + result["skipped"]
        under_way = {"planned", "sending", "retrying"} & set(result["states"])
        return result if result["status"] == "done" and counted and not under_way else None

    return id_, until(settled, f"{id_} settled", 30)["channels"]


def count(rule):
    return sum(1 for number in range(USERS) if rule(number))


DEVICELESS = count(lambda n: n % 3 == 0)
AWAKE = count(lambda n: n % 3 and n % 4)
ASLEEP = count(lambda n: n % 3 and n % 4 == 0)


def test_quiet_hours_hold_those_who_sleep(home):
    home.put("/v1/categories/news", {})
    id_, result = finished(home, "news")
    assert result["push"] == {
        "states": {"sent": AWAKE, "held": ASLEEP, "skipped": DEVICELESS},
        "reasons": {"quiet_hours": ASLEEP, "no_contact": DEVICELESS},
    }
    held = {row["user_id"] for row in home.pages(f"/v1/broadcasts/{id_}/deliveries", state="held", limit=200)}
    assert held == {f"user-{n:04}" for n in range(USERS) if n % 3 and n % 4 == 0}


def test_a_cap_counts_broadcasts_and_single_notifications_alike(home):
    caps = [{"limit": 2, "per": "1d"}]
    home.put("/v1/categories/tips", {"caps": caps, "quiet_hours": False})
    single = {"to": "user-0001", "template": "offer", "category": "tips", "channels": ["push"]}
    assert one(home.send_and_wait(**single)["deliveries"])["state"] == "sent"
    _, first = finished(home, "tips")
    assert first["push"]["states"] == {"sent": USERS - DEVICELESS, "skipped": DEVICELESS}
    _, second = finished(home, "tips")
    assert second["push"] == {
        "states": {"sent": USERS - DEVICELESS - 1, "skipped": DEVICELESS + 1},
        "reasons": {"capped": 1, "no_contact": DEVICELESS},
    }
    assert one(home.send_and_wait(**single)["deliveries"])["reason"] == "capped"


def test_a_route_takes_the_first_channel_that_reaches_each(home):
    home.put("/v1/categories/offers", {"route": {"first": ["push", "email"]}, "quiet_hours": False})
    id_, result = finished(home, "offers", channels=())
    assert result["push"]["states"]["sent"] == USERS - DEVICELESS
    assert result["email"]["states"]["sent"] == DEVICELESS
    assert "inapp" not in result
    rows = home.pages(f"/v1/broadcasts/{id_}/deliveries", state="sent", limit=200)
    mailed = {row["user_id"] for row in rows if row["channel"] == "email"}
    assert mailed == {f"user-{number:04}" for number in range(0, USERS, 3)}


def test_a_workflow_runs_once_for_everyone(home):
    steps = [
        {"kind": "send", "name": "offer", "template": "offer", "channels": ["inapp"]},
        {"kind": "delay", "name": "rest", "for": "1s"},
        {"kind": "condition", "name": "odd", "if": "user.id.endsWith('1')", "otherwise": "end"},
        {"kind": "send", "name": "more", "template": "offer", "channels": ["push"]},
    ]
    home.put("/v1/workflows/campaign", {"steps": steps})
    home.put("/v1/categories/news", {"quiet_hours": False})
    body = {"audience": {"all": True}, "workflow": "campaign", "category": "news"}
    home.post("/v1/broadcasts", body)
    wanted = {f"token-{number}" for number in range(USERS) if number % 3 and number % 10 == 1}

    def pushed():
        return [message["address"] for message in home.captured(channel="push", limit=200)]

    until(lambda: len(pushed()) >= len(wanted), "the second message", 60)
    assert sorted(pushed()) == sorted(wanted)
    inbox = home.inbox_of("user-0002").get("/v1/inbox")["data"]
    assert [item["content"]["title"] for item in inbox] == ["Offer"]
