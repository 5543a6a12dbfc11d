"""Schedules over HTTP, up to the notifications they send."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.outside import new_tenant, one, until

pytestmark = [pytest.mark.e2e, pytest.mark.allow_hosts(["127.0.0.1"])]

DAILY = {"to": {"user_id": "ada"}, "template": "daily", "cron": "0 9 * * *", "zone": "Asia/Kolkata"}
MINUTE_WAIT_S = 75.0


@pytest.fixture
def tenant(operator):
    tenant = new_tenant(operator).seed_data({"daily": {"inapp": {"title": "Day {{ n }}"}}}, [])
    tenant.put("/v1/topics/riders", {})
    tenant.user("ada", topics=["riders"])
    tenant.user("bob")
    return tenant


def test_a_schedule_from_its_preview_to_its_removal(tenant):
    found = tenant.post("/v1/schedules/preview", {name: DAILY[name] for name in ("cron", "zone")})["occurrences"]
    assert len(found) == 10
    assert all((at["at"][11:], at["local"][11:]) == ("03:30:00Z", "09:00") for at in found)
    stored = tenant.put("/v1/schedules/daily", DAILY | {"data": {"n": 1}})
    assert stored["next_at"] == found[0]["at"]
    assert tenant.get("/v1/schedules/daily") == stored
    assert [each["key"] for each in tenant.pages("/v1/schedules")] == ["daily"]
    assert tenant.post("/v1/schedules/daily/pause")["next_at"] is None
    assert tenant.post("/v1/schedules/daily/resume")["next_at"] == found[0]["at"]
    tenant.delete("/v1/schedules/daily")
    tenant.refused(404, "GET", "/v1/schedules/daily")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, "data.n"),
        ({"to": {"user_id": "nobody"}}, "to.user_id"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"cron": "* * * * * *"}, "cron"),
        ({"cron": None, "rrule": "FREQ=SECONDLY", "start": "2026-01-01T00:00"}, "rrule"),
        ({"zone": "Europe/Atlantis"}, "zone"),
        ({"too_late": "a while"}, "too_late"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_schedule_that_cannot_work_is_refused_with_its_path(tenant, change, field):
    assert tenant.refused(422, "PUT", "/v1/schedules/bad", DAILY | change)["field"] == field
    assert tenant.get("/v1/schedules")["data"] == []


def test_a_key_that_may_only_read_sets_nothing(operator):
    reader = new_tenant(operator, scopes=["notifications:read"])
    assert reader.get("/v1/schedules")["data"] == []
    reader.refused(403, "PUT", "/v1/schedules/daily", DAILY)


@pytest.mark.waits
@pytest.mark.slow
def test_every_minute_it_sends_to_users_and_audiences(tenant):
    began = datetime.now(UTC)
    minutely = {"cron": "* * * * *", "template": "daily", "data": {"n": 7}}
    rule = {"rrule": "FREQ=MINUTELY", "start": f"{began:%Y-%m-%dT%H:%M}", "cron": None}
    tenant.put("/v1/schedules/one", minutely | {"to": {"user_id": "ada"}, "expires_after": "1h"})
    tenant.put("/v1/schedules/some", minutely | rule | {"to": {"topic": "riders"}})
    tenant.put("/v1/schedules/resting", minutely | {"to": {"user_id": "ada"}, "enabled": False})

    def latest(key):
        return tenant.get(f"/v1/schedules/{key}")["latest"]

    result = {key: until(lambda key=key: latest(key), f"{key} came round", MINUTE_WAIT_S) for key in ("one", "some")}
    assert {key: each["result"] for key, each in result.items()} == {"one": "started", "some": "started"}
    due = datetime.fromisoformat(result["one"]["due_at"])
    assert began - timedelta(minutes=1) < due <= datetime.now(UTC)
    assert (due.second, due.microsecond) == (0, 0)
    notification = tenant.ended(result["one"]["id"])
    assert notification["metadata"] == {"schedule": "one"}
    delivery = one(notification["deliveries"])
    assert (delivery["user_id"], delivery["channel"], delivery["state"]) == ("ada", "inapp", "sent")
    until(
        lambda: tenant.get(f"/v1/broadcasts/{result['some']['id']}")["states"] == {"sent": 1}, "the topic was reached"
    )
    titles = [item["content"]["title"] for item in tenant.inbox_of("ada").get("/v1/inbox")["data"]]
    assert titles[-2:] == ["Day 7", "Day 7"]
    assert tenant.inbox_of("bob").get("/v1/inbox")["data"] == []
    assert latest("resting") is None
