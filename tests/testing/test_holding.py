"""Quiet hours and caps, over the days."""

import pytest

from clarion.testing import Clarion
from tests.testing.people import bodies, put_person, reasons, sent

QUIET = {"quiet_hours": {"windows": [{"start": "22:00", "end": "08:00"}]}}


def test_marketing_at_half_past_eleven_in_kolkata_comes_at_eight_and_an_alert_at_once(clarion):
    clarion.put_policy(QUIET)
    clarion.put_category("marketing", {"priority": "bulk"})
    clarion.put_category("security", {"critical": True, "priority": "critical"})
    put_person(clarion, "ravi", "Asia/Kolkata")
    clarion.run(until="2026-03-05T18:00:00Z")  # 23:30 in Kolkata
    sale = clarion.notify(to="ravi", template="sale", category="marketing")
    clarion.notify(to="ravi", template="alert", category="security")
    assert reasons(clarion, sale) == [("push", "held", "quiet_hours"), ("sms", "held", "quiet_hours")]
    clarion.run_for("1d")
    assert sent(clarion) == [
        ("2026-03-05T18:00:00Z", "ravi", "push", "alert"),
        ("2026-03-06T02:30:00Z", "ravi", "push", "sale"),
        ("2026-03-06T02:30:00Z", "ravi", "sms", "sale"),
    ]


def test_what_would_be_held_for_too_long_is_not_sent(clarion):
    clarion.put_category("marketing", {"hold_max": "2h"})
    clarion.put_policy(QUIET)
    clarion.run(until="2026-03-05T22:30:00Z")
    late = clarion.notify(to="ana", template="alert", category="marketing")
    clarion.run_for("1d")
    assert sent(clarion) == []
    assert reasons(clarion, late) == [("push", "skipped", "quiet_hours")]


def test_what_expires_while_it_is_held_is_not_sent(clarion):
    clarion.put_policy(QUIET)
    clarion.run(until="2026-03-05T22:30:00Z")
    held = clarion.notify(to="ana", template="alert", expires_at="2026-03-06T03:00:00Z")
    clarion.run_for("1d")
    assert sent(clarion) == []
    assert reasons(clarion, held) == [("push", "expired", "expired")]


def test_quiet_hours_that_are_taken_away_still_release_at_the_hour_that_was_said(clarion):
    clarion.put_quiet_hours("ana", QUIET["quiet_hours"])
    clarion.run(until="2026-03-05T22:00:00Z")
    clarion.notify(to="ana", template="alert")
    clarion.put_quiet_hours("ana", {"windows": []})
    clarion.run_for("1d")
    assert sent(clarion) == [("2026-03-06T07:00:00Z", "ana", "push", "alert")]


def note(clarion, *texts):
    return [clarion.notify(to="ana", template="note", data={"text": text}, category="capped") for text in texts]


def test_over_a_cap_that_skips_nothing_more_is_sent(clarion):
    clarion.put_category("capped", {"caps": [{"limit": 2, "per": "1h", "channel": "sms"}]})
    *_, third = note(clarion, "a", "b", "c")
    clarion.run_for("30m")
    note(clarion, "d", "e")
    clarion.run_for("1d")
    assert bodies(clarion) == [
        ("2026-03-02T09:00:00Z", "a"),
        ("2026-03-02T09:00:00Z", "b"),
        ("2026-03-02T09:30:00Z", "d"),
    ]
    assert reasons(clarion, third) == [("sms", "skipped", "capped")]


def test_over_a_cap_that_defers_each_comes_when_there_is_room(clarion):
    clarion.put_category("capped", {"caps": [{"limit": 2, "per": "1h", "channel": "sms"}], "over_cap": "defer"})
    note(clarion, "a", "b", "c", "d")
    clarion.run_for("1d")
    assert [at for at, _ in bodies(clarion)] == [
        "2026-03-02T09:00:00Z",
        "2026-03-02T09:00:00Z",
        "2026-03-02T09:30:00Z",
        "2026-03-02T10:00:00Z",
    ]
    assert sorted(text for _, text in bodies(clarion)) == ["a", "b", "c", "d"]


def test_over_a_cap_that_digests_the_rest_comes_as_one(clarion):
    steps = [
        {"kind": "digest", "name": "rest", "window": {"fixed": "6h"}},
        {"kind": "send", "name": "tell", "template": "summary", "category": "summaries"},
    ]
    clarion.put_category("summaries", {})
    clarion.put_workflow("rest", {"steps": steps})
    caps = [{"limit": 1, "per": "1d", "channel": "sms"}]
    clarion.put_category("capped", {"caps": caps, "over_cap": "digest", "digest_workflow": "rest"})
    note(clarion, "a", "b", "c", "d")
    clarion.run_for("12h")
    assert bodies(clarion) == [("2026-03-02T09:00:00Z", "a"), ("2026-03-02T15:00:00Z", "3: b")]


@pytest.mark.parametrize(
    ("day", "zone", "released"),
    [
        ("2026-03-28", "Europe/Rome", "2026-03-29T06:00:00Z"),  # the night the clock goes forward
        ("2026-10-24", "Europe/Rome", "2026-10-25T07:00:00Z"),  # and the one it goes back
        ("2026-10-24", "Asia/Kathmandu", "2026-10-25T02:15:00Z"),
    ],
)
def test_quiet_hours_end_at_eight_local_time_across_clock_changes(day, zone, released):
    with Clarion(start=f"{day}T12:00:00Z") as clarion:
        clarion.put_policy(QUIET)
        clarion.put_template("sale", {"channels": {"push": {"title": "Sale"}}})
        put_person(clarion, "eve", zone)
        clarion.run(until=f"{day}T22:00:00Z")
        clarion.notify(to="eve", template="sale")
        clarion.run_for("1d")
        assert sent(clarion) == [(released, "eve", "push", "sale")]
