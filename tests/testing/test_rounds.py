"""Notifications to many users: schedules, broadcasts, local time, segments, topics."""

import pytest

from clarion.testing import Clarion
from tests.testing.people import bodies, put_person, sent

DAILY = {"to": {"all": True}, "template": "note", "channels": ["sms"], "data": {"text": "daily"}, "cron": "0 9 * * *"}


def test_local_time_is_nine_on_the_wall_before_and_after_the_clocks_change():
    with Clarion(start="2026-03-27T12:00:00Z") as clarion:
        clarion.put_template("note", {"channels": {"sms": {"body": "{{ text }}"}}})
        for name, zone in (("ana", "Europe/Rome"), ("kim", "Asia/Seoul"), ("lou", "America/New_York")):
            put_person(clarion, name, zone)
        clarion.put_schedule("daily", {**DAILY, "local_time": True})
        clarion.run(until="2026-03-29T23:00:00Z")
        assert [(d.at, d.user_id) for d in clarion.deliveries] == [
            ("2026-03-28T00:00:00Z", "kim"),
            ("2026-03-28T08:00:00Z", "ana"),  # UTC+1
            ("2026-03-28T13:00:00Z", "lou"),
            ("2026-03-29T00:00:00Z", "kim"),
            ("2026-03-29T07:00:00Z", "ana"),  # UTC+2
            ("2026-03-29T13:00:00Z", "lou"),
        ]


def test_a_schedule_in_a_zone_keeps_its_hour_and_skips_no_day():
    with Clarion(start="2026-10-23T12:00:00Z") as clarion:
        clarion.put_template("note", {"channels": {"sms": {"body": "{{ text }}"}}})
        put_person(clarion, "ana", "Europe/Rome")
        clarion.put_schedule("night", {**DAILY, "cron": "30 2 * * *", "zone": "Europe/Rome"})
        clarion.run_for("4d")
        # 02:30 happens twice on the 25th; the first time counts.
        assert [at for at, _ in bodies(clarion)] == [
            "2026-10-24T00:30:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z",
            "2026-10-27T01:30:00Z",
        ]


def test_a_broadcast_in_local_time_goes_round_the_world_in_waves(clarion):
    for name, zone in (("kim", "Asia/Seoul"), ("lou", "America/New_York"), ("sam", "Pacific/Kiritimati")):
        put_person(clarion, name, zone)
    clarion.put_user("nomad", {"phone": "+12025550199"})
    clarion.put_policy({"zone": "Asia/Dubai"})
    everyone = {"all": True}
    clarion.broadcast(everyone, template="sale", channels=["push", "sms"], local_time="2026-03-05T09:00")
    clarion.run_for("7d")
    assert sent(clarion) == [
        ("2026-03-04T19:00:00Z", "sam", "push", "sale"),
        ("2026-03-04T19:00:00Z", "sam", "sms", "sale"),
        ("2026-03-05T00:00:00Z", "kim", "push", "sale"),
        ("2026-03-05T00:00:00Z", "kim", "sms", "sale"),
        ("2026-03-05T05:00:00Z", "nomad", "sms", "sale"),
        ("2026-03-05T08:00:00Z", "ana", "push", "sale"),
        ("2026-03-05T08:00:00Z", "ana", "sms", "sale"),
        ("2026-03-05T14:00:00Z", "lou", "push", "sale"),
        ("2026-03-05T14:00:00Z", "lou", "sms", "sale"),
    ]


def test_a_broadcast_that_is_cancelled_between_two_waves_ends_there(clarion):
    put_person(clarion, "kim", "Asia/Seoul")
    id_ = clarion.broadcast({"all": True}, template="news", local_time="2026-03-05T09:00")
    clarion.run(until="2026-03-05T04:00:00Z")
    clarion.cancel(id_)
    clarion.run_for("7d")
    assert {(d.at, d.user_id) for d in clarion.deliveries} == {("2026-03-05T00:00:00Z", "kim")}
    assert clarion.call("GET", f"/v1/broadcasts/{id_}")["status"] == "cancelled"


def test_a_broadcast_waits_for_the_morning_of_each_who_sleeps(clarion):
    put_person(clarion, "kim", "Asia/Seoul")
    put_person(clarion, "lou", "America/New_York")
    clarion.put_policy({"quiet_hours": {"windows": [{"start": "22:00", "end": "08:00"}]}})
    clarion.run(until="2026-03-05T22:00:00Z")  # 23:00 in Rome, 07:00 in Seoul, 17:00 in New York
    clarion.broadcast({"all": True}, template="news")
    clarion.run_for("1d")
    assert sent(clarion) == [
        ("2026-03-05T22:00:00Z", "ana", "inapp", "news"),
        ("2026-03-05T22:00:00Z", "kim", "inapp", "news"),
        ("2026-03-05T22:00:00Z", "lou", "inapp", "news"),
        ("2026-03-05T22:00:00Z", "lou", "push", "news"),
        ("2026-03-05T23:00:00Z", "kim", "push", "news"),
        ("2026-03-06T07:00:00Z", "ana", "push", "news"),
    ]


def test_a_broadcast_planned_for_later_goes_to_whom_the_segment_matched(clarion):
    clarion.put_segment("pros", {"filter": {"attribute": "plan", "is": "pro"}})
    put_person(clarion, "kim", "Asia/Seoul", attributes={"plan": "pro"})
    clarion.broadcast({"segment": "pros"}, template="sale", channels=["sms"], send_at="2026-03-04T00:00:00Z")
    clarion.run_for("1d")
    put_person(clarion, "lou", "America/New_York", attributes={"plan": "pro"})
    clarion.run_for("7d")
    assert sent(clarion) == [
        ("2026-03-04T00:00:00Z", "kim", "sms", "sale"),
        ("2026-03-04T00:00:00Z", "lou", "sms", "sale"),
    ]


def test_a_schedule_for_a_topic_starts_a_workflow_for_each_member(clarion):
    clarion.put_topic("savers")
    put_person(clarion, "kim", "Asia/Seoul", topics=["savers"])
    put_person(clarion, "lou", "America/New_York", topics=["savers"])
    steps = [
        {"kind": "delay", "name": "morning", "at": "08:00"},
        {"kind": "send", "name": "tell", "template": "note", "data": {"text": "'balance'"}},
    ]
    clarion.put_workflow("balance", {"steps": steps})
    clarion.put_schedule("monthly", {"to": {"topic": "savers"}, "workflow": "balance", "cron": "0 0 1 * *"})
    clarion.run(until="2026-05-15T00:00:00Z")
    assert [(d.at, d.user_id) for d in clarion.deliveries] == [
        ("2026-04-01T12:00:00Z", "lou"),
        ("2026-04-01T23:00:00Z", "kim"),
        ("2026-05-01T12:00:00Z", "lou"),
        ("2026-05-01T23:00:00Z", "kim"),
    ]


@pytest.mark.parametrize("verb", ["pause", "delete"])
def test_a_schedule_that_rests_or_is_gone_sends_nothing_more(clarion, verb):
    clarion.put_schedule("daily", DAILY)
    clarion.run_for("2d")
    if verb == "pause":
        clarion.call("POST", "/v1/schedules/daily/pause")
    else:
        clarion.call("DELETE", "/v1/schedules/daily")
    clarion.run_for("7d")
    assert [at for at, _ in bodies(clarion)] == ["2026-03-03T09:00:00Z", "2026-03-04T09:00:00Z"]


TWICE = [
    {"kind": "send", "name": "one", "template": "note", "data": {"text": "'one'"}},
    {"kind": "delay", "name": "pause", "for": "2d"},
    {"kind": "send", "name": "two", "template": "note", "data": {"text": "'two'"}},
]


def test_a_workflow_in_local_time_starts_at_nine_on_everyones_wall(clarion):
    put_person(clarion, "kim", "Asia/Seoul")
    clarion.put_workflow("twice", {"steps": TWICE})
    clarion.broadcast({"all": True}, workflow="twice", local_time="2026-03-05T09:00")
    clarion.run_for("9d")
    assert [(d.at, d.user_id, d.step) for d in clarion.deliveries] == [
        ("2026-03-05T00:00:00Z", "kim", "one"),
        ("2026-03-05T08:00:00Z", "ana", "one"),
        ("2026-03-07T00:00:00Z", "kim", "two"),
        ("2026-03-07T08:00:00Z", "ana", "two"),
    ]


def test_a_schedule_in_local_time_starts_workflows_at_everyones_time(clarion):
    put_person(clarion, "kim", "Asia/Seoul")
    clarion.put_workflow("twice", {"steps": TWICE[:1]})
    everyone = {"to": {"all": True}, "workflow": "twice", "local_time": True}
    clarion.put_schedule("weekly", {**everyone, "cron": "0 9 * * THU"})
    clarion.run_for("5d")
    assert [(d.at, d.user_id) for d in clarion.deliveries] == [
        ("2026-03-05T00:00:00Z", "kim"),
        ("2026-03-05T08:00:00Z", "ana"),
    ]


@pytest.mark.parametrize(
    ("cancelled_at", "sent_to"),
    [("2026-03-04T22:00:00Z", []), ("2026-03-05T04:00:00Z", ["kim"]), ("2026-03-06T04:00:00Z", ["kim", "ana"])],
)
def test_a_broadcast_that_is_cancelled_ends_the_instances_it_started(clarion, cancelled_at, sent_to):
    put_person(clarion, "kim", "Asia/Seoul")
    clarion.put_workflow("twice", {"steps": TWICE})
    id_ = clarion.broadcast({"all": True}, workflow="twice", local_time="2026-03-05T09:00")
    clarion.run(until=cancelled_at)
    clarion.cancel(id_)
    clarion.run_for("30d")
    assert [(d.user_id, d.step) for d in clarion.deliveries] == [(name, "one") for name in sent_to]
    started = [clarion.notification(one["id"]) for one in clarion.call("GET", "/v1/notifications")["data"]]
    assert [instance["state"] for one in started for instance in one["instances"]] == ["cancelled", "cancelled"]


def test_a_digest_of_a_cancelled_broadcast_leaves_out_what_it_brought(clarion):
    steps = [
        {"kind": "digest", "name": "collect", "window": {"fixed": "1h"}},
        {"kind": "send", "name": "tell", "template": "summary"},
    ]
    clarion.put_workflow("digest", {"steps": steps})
    id_ = clarion.broadcast({"all": True}, workflow="digest", data={"text": "gone"})
    clarion.notify(to="ana", workflow="digest", data={"text": "kept"})
    clarion.cancel(id_)
    clarion.run_for("1d")
    assert bodies(clarion) == [("2026-03-02T10:00:00Z", "1: kept")]
