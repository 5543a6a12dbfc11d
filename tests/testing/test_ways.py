"""The path of a message: event rules, routes, fallbacks, retries, and their combinations."""

import pytest

from tests.testing.people import put_person, reasons, sent

QUIET = {"quiet_hours": {"windows": [{"start": "22:00", "end": "08:00"}]}}
ROUTE = {"first": ["push", "sms"], "until": "seen", "within": "2m"}


def test_one_ride_notifies_the_rider_by_push_and_email_and_the_driver_by_push_alone(clarion):
    receipt = {"push": {"title": "Thanks"}, "email": {"subject": "Your receipt", "text": "EUR {{ fare }}"}}
    clarion.put_template("receipt", {"channels": receipt})
    clarion.put_template("earned", {"channels": {"push": {"title": "You earned {{ share }}"}}})
    put_person(clarion, "ria", "Europe/Rome", email="ria@example.com")
    put_person(clarion, "dan", "Europe/Rome", email="dan@example.com")
    clarion.put_event_rule(
        "ride",
        {
            "event": "ride.completed",
            "if": "data.fare > 0",
            "notify": [
                {"to": "data.rider", "template": "receipt", "channels": ["push", "email"]},
                {"to": "data.driver", "template": "earned", "data": {"share": "string(data.fare * 8 / 10)"}},
            ],
        },
    )
    assert clarion.event("ride.completed", {"rider": "ria", "driver": "dan", "fare": 0}) == []
    made = clarion.event("ride.completed", {"rider": "ria", "driver": "dan", "fare": 20})
    assert len(made) == 2
    assert [(d.user_id, d.channel, d.content.get("title") or d.content["text"]) for d in clarion.deliveries] == [
        ("dan", "push", "You earned 16"),
        ("ria", "email", "EUR 20"),
        ("ria", "push", "Thanks"),
    ]


def test_a_push_that_is_refused_goes_out_as_an_sms_at_once(clarion):
    clarion.put_category("order", {"route": {"first": ["push", "sms"], "until": "sent"}})
    clarion.fail("push")
    id_ = clarion.notify(to="ana", template="sale", category="order")
    clarion.run_for("1h")
    assert sent(clarion) == [("2026-03-02T09:00:00Z", "ana", "sms", "sale")]
    assert reasons(clarion, id_) == [("push", "failed", "refused"), ("sms", "sent", None)]


def test_only_the_address_that_fails_falls_back(clarion):
    put_person(clarion, "ben", "Europe/Rome")
    clarion.put_category("order", {"route": {"first": ["push", "sms"], "until": "sent"}})
    clarion.fail("push", "invalid_recipient", address="token-of-ana")
    clarion.notify(to=["ana", "ben"], template="sale", category="order")
    assert sent(clarion) == [
        ("2026-03-02T09:00:00Z", "ana", "sms", "sale"),
        ("2026-03-02T09:00:00Z", "ben", "push", "sale"),
    ]
    clarion.recover("push")
    clarion.notify(to="ana", template="alert")
    assert len(clarion.deliveries) == 2  # the address stays suppressed


@pytest.mark.parametrize("looks", [True, False])
def test_a_route_until_seen_continues_after_two_minutes(clarion, looks):
    clarion.put_category("order", {"route": ROUTE})
    id_ = clarion.notify(to="ana", template="sale", category="order")
    clarion.run_for("1m")
    if looks:
        clarion.seen("ana", id_)
    clarion.run_for("1d")
    more = [] if looks else [("2026-03-02T09:02:00Z", "ana", "sms", "sale")]
    assert sent(clarion) == [("2026-03-02T09:00:00Z", "ana", "push", "sale"), *more]


@pytest.mark.parametrize("looks", [True, False])
def test_a_fallback_that_falls_into_quiet_hours_waits_for_the_morning(clarion, looks):
    clarion.put_policy(QUIET)
    clarion.put_category("order", {"route": ROUTE})
    clarion.run(until="2026-03-02T20:59:00Z")  # 21:59 in Rome
    id_ = clarion.notify(to="ana", template="sale", category="order")
    clarion.run(until="2026-03-03T05:00:00Z")
    if looks:
        clarion.seen("ana", id_)
    clarion.run_for("1d")
    more = [] if looks else [("2026-03-03T07:00:00Z", "ana", "sms", "sale")]
    assert sent(clarion) == [("2026-03-02T20:59:00Z", "ana", "push", "sale"), *more]
    assert reasons(clarion, id_)[1] == (("sms", "skipped", "routed_elsewhere") if looks else ("sms", "sent", None))


def test_a_route_whose_first_channel_is_held_begins_in_the_morning(clarion):
    clarion.put_policy(QUIET)
    clarion.put_category("order", {"route": ROUTE})
    clarion.run(until="2026-03-02T22:00:00Z")
    clarion.notify(to="ana", template="sale", category="order")
    clarion.run_for("1d")
    assert sent(clarion) == [
        ("2026-03-03T07:00:00Z", "ana", "push", "sale"),
        ("2026-03-03T07:02:00Z", "ana", "sms", "sale"),
    ]


def test_an_opt_out_makes_a_route_begin_with_the_next_channel(clarion):
    clarion.put_category("order", {"route": ROUTE})
    clarion.put_preferences("ana", {"order": {"push": False}})
    clarion.notify(to="ana", template="sale", category="order")
    clarion.run_for("1d")
    assert sent(clarion) == [("2026-03-02T09:00:00Z", "ana", "sms", "sale")]


def test_an_opt_out_with_an_end_ends(clarion):
    clarion.put_preferences("ana", {"*": {"sms": {"allowed": False, "until": "2026-03-09T00:00:00Z"}}})
    for _ in range(3):
        clarion.notify(to="ana", template="note", data={"text": "hi"})
        clarion.run_for("4d")
    assert [at for at, *_ in sent(clarion)] == ["2026-03-10T09:00:00Z"]


def test_what_a_provider_could_not_take_is_tried_again(clarion):
    clarion.fail("sms", "transient")
    id_ = clarion.notify(to="ana", template="note", data={"text": "hi"})
    clarion.run_for("1s")
    clarion.recover("sms")
    clarion.run_for("1h")
    ((at, *_),) = sent(clarion)
    assert at == "2026-03-02T09:00:15Z"  # half of thirty seconds
    assert clarion.deliveries[0].attempt > 1
    assert reasons(clarion, id_) == [("sms", "sent", None)]


def test_what_fails_to_the_end_is_a_dead_letter_and_falls_back(clarion):
    clarion.put_category("order", {"route": {"first": ["push", "sms"], "until": "sent"}})
    clarion.fail("push", "transient")
    id_ = clarion.notify(to="ana", template="sale", category="order")
    clarion.run_for("1d")
    assert [channel for _, _, channel, _ in sent(clarion)] == ["sms"]
    assert reasons(clarion, id_) == [("push", "dead", "attempts_exhausted"), ("sms", "sent", None)]
    assert [dead["channel"] for dead in clarion.call("GET", "/v1/dead-letters")["data"]] == ["push"]


def test_a_room_under_a_cap_that_opens_at_night_is_used_in_the_morning(clarion):
    clarion.put_policy(QUIET)
    clarion.put_category("order", {"caps": [{"limit": 1, "per": "8h"}], "over_cap": "defer"})
    clarion.run(until="2026-03-02T16:00:00Z")
    for _ in range(2):
        clarion.notify(to="ana", template="alert", category="order")
    clarion.run_for("2d")
    assert [at for at, *_ in sent(clarion)] == ["2026-03-02T16:00:00Z", "2026-03-03T07:00:00Z"]
