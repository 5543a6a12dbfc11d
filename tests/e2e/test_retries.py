"""Failing providers and times: retries, dead letters and their replay, send times, cancellation, expiry."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.outside import one, until, waits
from tests.e2e.seed import NOTE, phone

REFUSED = {"outcome": "refused", "reason": "spam", "detail": "550 we think this is spam"}


@pytest.fixture
def home(tenant):
    tenant.seed_data({"note": NOTE}, [])
    return tenant


def at(text):
    return datetime.fromisoformat(text)


def ahead(seconds):
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def texted(home, script, **more):
    """Send one text message through a scripted provider; return its delivery at rest."""
    home.sandbox("sms", by_attempt=script)
    return one(home.send_and_wait({"phone": phone(100)}, "note", {"text": "t"}, channels=["sms"], **more)["deliveries"])


def mend(home):
    """Make the scripted provider accept everything from now on."""
    home.sandbox("sms")
    home.changed()


def made(delivery):
    return [(attempt["attempt"], attempt["outcome"], attempt["event"]) for attempt in delivery["attempts"]]


@pytest.mark.parametrize("outcome", ["transient", "throttled", "ambiguous"])
def test_a_failure_that_may_pass_is_tried_again(home, outcome):
    words = {"outcome": outcome, "detail": f"scripted {outcome}, try later"}
    delivery = texted(home, [words, words, "accepted"])
    event = "ambiguous" if outcome == "ambiguous" else "retry"
    assert (delivery["state"], delivery["reason"]) == ("sent", None)
    assert made(delivery) == [(1, outcome, event), (2, outcome, event), (3, "accepted", "accepted")]
    for attempt, following in zip(delivery["attempts"], delivery["attempts"][1:], strict=False):
        assert attempt["detail"] == f"scripted {outcome}, try later"
        assert at(following["started_at"]) >= at(attempt["retry_at"]) >= at(attempt["finished_at"])
    assert one(home.captured())["attempt"] == 3


def test_retry_after_is_a_floor(home):
    delivery = texted(home, [{"outcome": "throttled", "after_ms": 1_200, "detail": "slow down"}, "accepted"])
    first, second = delivery["attempts"]
    assert at(second["started_at"]) - at(first["finished_at"]) >= timedelta(milliseconds=1_200)
    assert at(first["retry_at"]) - at(first["finished_at"]) < timedelta(milliseconds=1_400)
    assert delivery["state"] == "sent"


def test_exhausted_is_dead_until_it_is_replayed_once(home):
    delivery = texted(home, [{"outcome": "transient", "detail": "503 down for good"}])
    assert (delivery["state"], delivery["reason"]) == ("dead", "attempts_exhausted")
    assert [attempt["event"] for attempt in delivery["attempts"]] == ["retry", "retry", "exhausted"]
    letter = one(home.pages("/v1/dead-letters", replayed="false"))
    assert letter.items() <= home.get(f"/v1/dead-letters/{delivery['id']}").items()
    assert (letter["reason"], letter["attempts"]) == ("attempts_exhausted", 3)
    assert "503 down for good" in letter["detail"]
    mend(home)
    replay = {"ids": [letter["id"], letter["id"]]}
    assert home.post("/v1/dead-letters/replay", replay)["results"] == [{"id": letter["id"], "status": "replayed"}]
    again = home.post("/v1/dead-letters/replay", replay)["results"]
    assert one(again)["status"] in ("already_replayed", "already_sent")
    sent = until(lambda: resting(home, letter["notification_id"], "sent"), "the replay is sent")
    story = [moment["event"] for moment in home.seen(letter["notification_id"])["timeline"]]
    assert story == ["accepted", "planned", "retry", "retry", "exhausted", "replayed", "accepted"]
    assert made(sent)[-1] == (4, "accepted", "accepted")
    assert one(home.captured())["attempt"] == 4
    assert home.get(f"/v1/dead-letters/{letter['id']}")["replayed_at"]
    assert list(home.pages("/v1/dead-letters", replayed="false")) == []
    assert home.post("/v1/dead-letters/replay", {"filter": {"channel": "sms"}})["results"] == []


def resting(home, notification, state):
    """The only delivery of a notification, if it is in that state."""
    delivery = one(home.seen(notification)["deliveries"])
    return delivery if delivery["state"] == state else None


def test_a_replay_that_fails_again_is_dead_again_and_can_be_replayed_again(home):
    delivery = texted(home, ["transient"])
    assert (delivery["state"], delivery["reason"]) == ("dead", "attempts_exhausted")
    id_ = delivery["id"]
    home.post("/v1/dead-letters/replay", {"filter": {"reason": "attempts_exhausted"}})
    letter = until(lambda: reopened(home, id_), "dead again")
    assert letter["attempts"] == 6
    mend(home)
    assert one(home.post("/v1/dead-letters/replay", {"ids": [id_]})["results"])["status"] == "replayed"
    until(lambda: resting(home, letter["notification_id"], "sent"), "sent at last")
    assert len(home.captured()) == 1


def test_a_misconfigured_account_costs_no_message(home):
    """Failed and later deliveries wait until the account is repaired."""
    home.sandbox("sms", by_attempt=["misconfigured"])
    sent = [home.send({"phone": phone(100 + n)}, "note", {"text": "t"}, channels=["sms"]) for n in range(3)]
    waiting = [one(home.ended(id_)["deliveries"]) for id_ in sent]
    assert all(waits(delivery) for delivery in waiting)
    calls = [attempt for delivery in waiting for attempt in delivery["attempts"]]
    assert {attempt["outcome"] for attempt in calls} == {"misconfigured"}
    mend(home)
    for id_ in sent:
        until(lambda id_=id_: resting(home, id_, "sent"), "sent after the account was mended")


def reopened(home, id_):
    letter = home.get(f"/v1/dead-letters/{id_}")
    return letter if letter["replayed_at"] is None and letter["attempts"] > 3 else None


def test_refused_is_final_with_the_providers_words(home):
    delivery = texted(home, [REFUSED])
    assert (delivery["state"], delivery["reason"]) == ("failed", "refused")
    assert "550 we think this is spam" in delivery["attempts"][0]["detail"]
    assert made(delivery) == [(1, "refused", "refused")]
    assert home.captured() == []


def test_a_dead_address_is_suppressed_and_skipped_next_time(home):
    delivery = texted(home, [{"outcome": "invalid_recipient", "detail": "unknown subscriber"}])
    assert (delivery["state"], delivery["reason"]) == ("failed", "invalid_recipient")
    entry = one(until(lambda: list(home.pages("/v1/suppressions")), "the suppression"))
    assert (entry["channel"], entry["address"]) == ("sms", phone(100))
    delivery = texted(home, ["accepted"])
    assert (delivery["state"], delivery["reason"]) == ("skipped", "suppressed")
    assert home.captured() == []


def test_another_provider_of_the_channel_is_not_the_suppressed_ones_concern(home):
    home.sandbox("sms", by_address={phone(1): "refused", "+1415555*": "accepted"})
    result = home.send_and_wait([{"phone": phone(1)}, {"phone": phone(2)}], "note", {"text": "t"}, channels=["sms"])
    assert {d["address"]: d["state"] for d in result["deliveries"]} == {phone(1): "failed", phone(2): "sent"}


def test_a_script_that_makes_no_sense_costs_its_delivery_alone(home):
    delivery = texted(home, ["exploded"])
    assert (delivery["state"], delivery["reason"]) == ("failed", "refused")
    assert "exploded" in delivery["detail"]


def test_a_template_that_fails_to_render_costs_its_delivery_alone(home):
    home.put("/v1/templates/bad", {"channels": {"sms": {"body": "{{ n | divided_by: d }}"}, "inapp": {"title": "t"}}})
    home.sandbox("sms")
    home.user("ada", phone=phone(3))
    result = home.send_and_wait("ada", "bad", {"n": 1, "d": 0})
    assert {d["channel"]: (d["state"], d["reason"]) for d in result["deliveries"]} == {
        "sms": ("failed", "render_failed"),
        "inapp": ("sent", None),
    }


def test_a_notification_for_later_waits_and_goes_at_its_time(home):
    home.sandbox("sms")
    when = ahead(1.5)
    made = home.post(
        "/v1/notifications",
        {"to": {"phone": phone(4)}, "template": "note", "data": {"text": "t"}, "send_at": when, "channels": ["sms"]},
    )
    assert made["status"] == "scheduled"
    waiting = until(lambda: scheduled(home, made["id"]), "it is listed as scheduled", 1.4)
    assert at(waiting["scheduled_at"]) == at(when).replace(microsecond=at(when).microsecond // 1000 * 1000)
    assert waiting["deliveries"] == []
    result = home.ended(made["id"])
    assert [m["event"] for m in result["timeline"]] == ["accepted", "scheduled", "planned", "accepted"]
    delivery = one(result["deliveries"])
    assert timedelta(0) <= at(delivery["finished_at"]) - at(waiting["scheduled_at"]) < timedelta(seconds=1.5)


def scheduled(home, id_):
    result = home.seen(id_)
    return result if result["status"] == "scheduled" else None


def test_what_waits_can_be_cancelled(home):
    home.sandbox("sms")
    id_ = home.send({"phone": phone(5)}, "note", {"text": "no"}, channels=["sms"], send_at=ahead(1.5))
    assert home.post(f"/v1/notifications/{id_}/cancel") == {"id": id_, "status": "cancelled"}
    result = until(lambda: cancelled(home, id_), "it is shown as cancelled")
    assert result["timeline"][-1]["event"] == "cancel_requested"
    # Another notification, sent at the same time with the same delay, shows that the time has passed.
    marker = home.send({"phone": phone(6)}, "note", {"text": "yes"}, channels=["sms"], send_at=ahead(1.5))
    home.ended(marker)
    assert [message["address"] for message in home.captured()] == [phone(6)]
    assert home.seen(id_)["status"] == "cancelled"
    assert {d["state"] for d in home.seen(id_)["deliveries"]} <= {"cancelled"}
    assert home.post(f"/v1/notifications/{id_}/cancel")["status"] == "cancelled"


def cancelled(home, id_):
    result = home.seen(id_)
    return result if result["status"] == "cancelled" else None


def test_a_retry_can_be_cancelled_and_what_was_sent_stays_sent(home):
    home.sandbox("sms", by_attempt=[{"outcome": "transient", "after_ms": 1_000}, "accepted"])
    id_ = home.send({"phone": phone(7)}, "note", {"text": "t"}, channels=["sms"])
    until(lambda: [d for d in home.seen(id_)["deliveries"] if d["state"] == "retrying"], "the first attempt failed")
    home.post(f"/v1/notifications/{id_}/cancel")
    delivery = one(home.ended(id_)["deliveries"])
    assert (delivery["state"], delivery["reason"]) == ("cancelled", "cancelled")
    assert home.captured() == []
    mend(home)
    sent = home.send_and_wait({"phone": phone(8)}, "note", {"text": "t"}, channels=["sms"])["id"]
    home.post(f"/v1/notifications/{sent}/cancel")
    until(lambda: "cancel_requested" in [m["event"] for m in home.seen(sent)["timeline"]], "the request is recorded")
    assert one(home.seen(sent)["deliveries"])["state"] == "sent"
    assert home.seen(sent)["status"] == "completed"


def test_what_is_of_no_use_any_more_expires_instead_of_being_retried(home):
    delivery = texted(home, [{"outcome": "throttled", "after_ms": 5_000}], expires_at=ahead(2))
    assert (delivery["state"], delivery["reason"]) == ("expired", "expired")
    assert [attempt["outcome"] for attempt in delivery["attempts"]] in (["throttled"], [])
    assert home.captured() == []
