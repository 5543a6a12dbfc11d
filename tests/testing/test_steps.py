"""Workflows step by step: digests, waits, throttles and cancellations."""

import pytest

from tests.testing.people import bodies, put_person, reasons, sent


def put_workflow(clarion, *steps, **more):
    clarion.put_workflow("flow", {"steps": list(steps), **more})


def states(clarion, *notifications):
    return [one["state"] for id_ in notifications for one in clarion.notification(id_)["instances"]]


SEND = {"kind": "send", "name": "tell", "template": "note"}


@pytest.mark.slow
def test_two_hundred_comments_within_an_hour_give_one_digest(clarion):
    put_workflow(
        clarion,
        {"kind": "digest", "name": "collect", "key": "data.post", "window": {"fixed": "1h"}},
        {"kind": "send", "name": "tell", "template": "summary"},
    )
    for number in range(200):
        clarion.notify(to="ana", workflow="flow", data={"post": number % 2, "text": f"comment {number}"})
        clarion.run_for("17s")
    clarion.run_for("1d")
    assert bodies(clarion) == [
        ("2026-03-02T10:00:00Z", "100: comment 0"),
        ("2026-03-02T10:00:17Z", "100: comment 1"),
    ]


def test_an_event_at_the_closing_instant_is_in_exactly_one_digest(clarion):
    put_workflow(
        clarion,
        {"kind": "digest", "name": "collect", "window": {"fixed": "1h"}},
        {"kind": "send", "name": "tell", "template": "summary"},
    )
    clarion.notify(to="ana", workflow="flow", data={"text": "first"})
    clarion.run_for("1h")
    clarion.notify(to="ana", workflow="flow", data={"text": "second"})
    clarion.run_for("1d")
    assert bodies(clarion) == [("2026-03-02T10:00:00Z", "1: first"), ("2026-03-02T11:00:00Z", "1: second")]


def test_a_sliding_digest_waits_for_silence_but_not_for_ever(clarion):
    put_workflow(
        clarion,
        {"kind": "digest", "name": "collect", "window": {"sliding": "10m", "at_most": "25m"}},
        {"kind": "send", "name": "tell", "template": "summary"},
    )
    for minute in range(5):
        clarion.notify(to="ana", workflow="flow", data={"text": f"at {8 * minute}"})
        clarion.run_for("8m")
    clarion.run_for("1d")
    assert bodies(clarion) == [("2026-03-02T09:25:00Z", "4: at 0"), ("2026-03-02T09:42:00Z", "1: at 32")]


@pytest.mark.parametrize("looks", [True, False])
def test_a_push_unseen_for_two_minutes_becomes_an_sms(clarion, looks):
    put_workflow(
        clarion,
        {"kind": "send", "name": "first", "template": "hello", "channels": ["push"]},
        {"kind": "wait_until", "name": "look", "seen": "first", "timeout": "2m", "next": "end", "on_timeout": "again"},
        {"kind": "send", "name": "again", "template": "hello", "channels": ["sms"]},
    )
    id_ = clarion.notify(to="ana", workflow="flow", data={"name": "Ana"})
    clarion.run_for("90s")
    if looks:
        clarion.seen("ana", id_)
    clarion.run_for("1h")
    again = [] if looks else [("2026-03-02T09:02:00Z", "ana", "sms", "hello")]
    assert sent(clarion) == [("2026-03-02T09:00:00Z", "ana", "push", "hello"), *again]
    assert states(clarion, id_) == ["completed"]


def test_a_throttle_lets_two_an_hour_pass(clarion):
    put_workflow(clarion, {"kind": "throttle", "name": "few", "limit": 2, "per": "1h"}, SEND)
    ids = []
    for number in range(8):
        ids.append(clarion.notify(to="ana", workflow="flow", data={"text": str(number)}))
        clarion.run_for("15m")
    assert bodies(clarion) == [
        ("2026-03-02T09:00:00Z", "0"),
        ("2026-03-02T09:15:00Z", "1"),
        ("2026-03-02T10:00:00Z", "4"),
        ("2026-03-02T10:15:00Z", "5"),
    ]
    assert states(clarion, *ids) == ["completed"] * 8


FETCH = {"kind": "fetch", "name": "ask", "url": "https://api.example.com/rides/{user.id}", "attempts": 3}


def test_a_fetch_step_reads_the_answer_that_a_test_gives(clarion):
    tell = {**SEND, "data": {"text": "string(steps.ask.body.rides) + ' rides'"}}
    put_workflow(clarion, FETCH, tell)
    clarion.answer("https://api.example.com/rides/ana", {"rides": 7})
    id_ = clarion.notify(to="ana", workflow="flow")
    assert bodies(clarion) == [("2026-03-02T09:00:00Z", "7 rides")]
    assert [request.url for request in clarion.fetches] == ["https://api.example.com/rides/ana"]
    assert states(clarion, id_) == ["completed"]


def test_a_fetch_step_without_an_answer_follows_its_policy(clarion):
    tell = {**SEND, "data": {"text": "has(steps.ask.error) ? 'offline' : 'online'"}}
    put_workflow(clarion, {**FETCH, "on_error": "continue"}, tell)
    clarion.notify(to="ana", workflow="flow")
    clarion.run_for("1h")
    assert [text for _, text in bodies(clarion)] == ["offline"]
    assert len(clarion.fetches) == 3
    put_workflow(clarion, {**FETCH, "on_error": "end"}, SEND)
    failed = clarion.notify(to="ana", workflow="flow", data={"text": "never"})
    clarion.run_for("1h")
    assert states(clarion, failed) == ["failed"]
    assert len(bodies(clarion)) == 1


def test_a_fetch_that_fails_at_first_is_made_again(clarion):
    put_workflow(clarion, FETCH, {**SEND, "data": {"text": "steps.ask.body"}})
    clarion.answer("https://api.example.com/rides/ana", "down", status=503)
    clarion.notify(to="ana", workflow="flow")
    clarion.answer("https://api.example.com/rides/ana", "seven")
    clarion.run_for("1h")
    assert [text for _, text in bodies(clarion)] == ["seven"]


def test_cancelling_by_key_in_the_middle_ends_what_carries_it(clarion):
    put_workflow(clarion, SEND, {"kind": "delay", "name": "pause", "for": "2d"}, {**SEND, "name": "more"})
    put_person(clarion, "ben", "Europe/Rome")
    kept = clarion.notify(to="ben", workflow="flow", data={"text": "kept"}, cancellation_key="order-2")
    gone = clarion.notify(to=["ana", "ben"], workflow="flow", data={"text": "gone"}, cancellation_key="order-1")
    clarion.run_for("1d")
    clarion.cancel(cancellation_key="order-1")
    clarion.run_for("7d")
    assert states(clarion, gone) == ["cancelled", "cancelled"]
    assert states(clarion, kept) == ["completed"]
    assert bodies(clarion) == [
        ("2026-03-02T09:00:00Z", "gone"),
        ("2026-03-02T09:00:00Z", "kept"),
        ("2026-03-02T09:00:00Z", "gone"),
        ("2026-03-04T09:00:00Z", "kept"),
    ]


def test_cancelling_by_id_takes_back_what_waits_for_its_time(clarion):
    later = clarion.notify(to="ana", template="alert", send_at="2026-03-04T09:00:00Z")
    clarion.run_for("1d")
    clarion.cancel(later)
    clarion.run_for("7d")
    assert sent(clarion) == []
    assert reasons(clarion, later) == [("push", "cancelled", "cancelled")]


def test_an_instance_whose_notification_expires_goes_no_further(clarion):
    put_workflow(clarion, SEND, {"kind": "delay", "name": "pause", "for": "2d"}, {**SEND, "name": "more"})
    id_ = clarion.notify(to="ana", workflow="flow", data={"text": "once"}, expires_at="2026-03-03T09:00:00Z")
    clarion.run_for("7d")
    assert bodies(clarion) == [("2026-03-02T09:00:00Z", "once")]
    assert states(clarion, id_) == ["expired"]


def test_an_instance_finishes_on_the_version_it_started_with(clarion):
    put_workflow(clarion, {"kind": "delay", "name": "pause", "for": "300d"}, {**SEND, "data": {"text": "'first'"}})
    clarion.notify(to="ana", workflow="flow")
    put_workflow(clarion, {"kind": "delay", "name": "pause", "for": "1d"}, {**SEND, "data": {"text": "'second'"}})
    clarion.notify(to="ana", workflow="flow")
    clarion.run_for("365d")
    assert bodies(clarion) == [("2026-03-03T09:00:00Z", "second"), ("2026-12-27T09:00:00Z", "first")]


def test_an_event_about_the_user_ends_a_wait_and_brings_its_data(clarion):
    wait = {"kind": "wait_until", "name": "paid", "event": "paid", "where": "event.amount > 10", "timeout": "3d"}
    text = "steps.paid.outcome == 'event' ? string(steps.paid.event.amount) : 'unpaid'"
    put_workflow(clarion, wait, {**SEND, "data": {"text": text}})
    put_person(clarion, "ben", "Europe/Rome")
    clarion.notify(to=["ana", "ben"], workflow="flow")
    clarion.run_for("1h")
    clarion.event("paid", {"amount": 5}, user_id="ana")
    clarion.run_for("1h")
    clarion.event("paid", {"amount": 50}, user_id="ana")
    clarion.run_for("7d")
    assert bodies(clarion) == [("2026-03-02T11:00:00Z", "50"), ("2026-03-05T09:00:00Z", "unpaid")]
