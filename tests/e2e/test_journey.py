"""One notification on every channel, from the request to the message that a user sees."""

from datetime import datetime

import pytest

from tests.e2e.outside import CHANNELS, one
from tests.e2e.seed import ADA, NOTE, WELCOME

DATA = {"name": "Ada <3", "code": "4711"}
ADDRESSES = {
    "email": ADA["email"],
    "sms": ADA["phone"],
    "push": "token-of-ada",
    "whatsapp": ADA["whatsapp"],
    "chat": ADA["chat"],
    "webhook": ADA["webhook"],
}
RENDERED = {
    "email": {
        "subject": "Welcome, Ada <3",
        "text": "Hello Ada <3, your code is 4711.",
        "html": "<p>Hello Ada &lt;3, your code is <b>4711</b>.</p>",
    },
    "sms": {"body": "Ada <3: 4711"},
    "push": {"title": "Welcome", "body": "Hello Ada <3", "data": {"code": "4711"}},
    "webpush": {"title": "Welcome", "body": "Hello Ada <3"},
    "whatsapp": {"body": "Hello Ada <3 (4711)"},
    "chat": {"text": "Ada <3 joined with 4711"},
    "webhook": {"type": "user.welcomed", "data": {"name": "Ada <3", "code": "4711"}},
}


@pytest.fixture(scope="module")
def home(operator):
    """Return a tenant where Ada has a contact on every channel."""
    from tests.e2e.outside import new_tenant

    tenant = new_tenant(operator).seed_data({"welcome": WELCOME, "note": NOTE})
    tenant.user("ada", **ADA)
    return tenant


@pytest.fixture(scope="module")
def result(home):
    return home.send_and_wait("ada", "welcome", DATA, metadata={"order": "77"})


def test_every_channel_is_sent_at_its_first_attempt_in_the_providers_words(result):
    assert result["status"] == "completed"
    assert result["states"] == {"sent": len(CHANNELS)}
    assert {delivery["channel"] for delivery in result["deliveries"]} == set(CHANNELS)
    for delivery in result["deliveries"]:
        channel = delivery["channel"]
        attempt = one(delivery["attempts"])
        assert (delivery["user_id"], delivery["state"], delivery["reason"]) == ("ada", "sent", None)
        assert delivery["address"] == ADDRESSES.get(channel, delivery["address"])
        assert (attempt["attempt"], attempt["outcome"], attempt["event"]) == (1, "accepted", "accepted")
        assert (attempt["provider"], attempt["vendor"]) == (
            ("inapp", "inapp") if channel == "inapp" else (f"sandbox-{channel}", "sandbox")
        )
        own = delivery["id"] if channel == "inapp" else f"sandbox-{delivery['id']}-1"
        assert attempt["vendor_message_id"] == own
        assert attempt["started_at"] <= attempt["finished_at"] == delivery["finished_at"]


def test_the_timeline_has_the_events_in_order(result):
    story = result["timeline"]
    assert [moment["event"] for moment in story] == ["accepted"] + ["planned"] * 8 + ["accepted"] * 8
    times = [datetime.fromisoformat(moment["at"]) for moment in story]
    assert times == sorted(times)
    assert result["data"] == DATA
    assert result["metadata"] == {"order": "77"}


def test_what_was_sent_is_what_the_templates_say(home, result):
    ids = {delivery["id"]: delivery["channel"] for delivery in result["deliveries"]}
    captured = {message["channel"]: message for message in home.captured() if message["delivery_id"] in ids}
    assert {channel: message["content"]["parts"] for channel, message in captured.items()} == RENDERED
    for channel, message in captured.items():
        assert ids[message["delivery_id"]] == channel
        assert message["address"] == ADDRESSES.get(channel, message["address"])
        assert message["content"]["metadata"] == {"order": "77"}


def test_one_channel_of_captures_and_of_the_list_can_be_asked_for(home, result):
    assert {message["channel"] for message in home.captured(channel="sms", user_id="ada")} == {"sms"}
    assert home.captured(user_id="nobody") == []
    assert result["id"] in {item["id"] for item in home.pages("/v1/notifications", channel="chat", state="sent")}
    assert list(home.pages("/v1/notifications", state="dead")) == []


def test_a_notification_can_be_read_from_the_moment_it_is_accepted(home):
    for number in range(40):
        id_ = home.send("ada", "note", {"text": f"n{number}"}, channels=["inapp"])
        assert home.seen(id_)["id"] == id_
        assert home.call("POST", f"/v1/notifications/{id_}/cancel").status == 202


def test_explicit_channels_and_inline_recipients(home):
    to = [{"email": "Grace@EXAMPLE.com", "phone": "+1 415 555 0199"}, "ada", "ada"]
    result = home.send_and_wait(to, "welcome", DATA, channels=["email", "sms", "inapp"])
    found = {(d["user_id"], d["channel"]): (d["state"], d["reason"], d["address"]) for d in result["deliveries"]}
    assert found == {
        (None, "email"): ("sent", None, "Grace@example.com"),
        (None, "sms"): ("sent", None, "+14155550199"),
        (None, "inapp"): ("skipped", "no_contact", ""),
        ("ada", "email"): ("sent", None, ADA["email"]),
        ("ada", "sms"): ("sent", None, ADA["phone"]),
        ("ada", "inapp"): ("sent", None, ""),
    }


def test_a_channel_without_content_provider_or_contact_is_skipped_with_its_reason(home):
    home.user("bare", email="bare@example.com")
    home.put("/v1/templates/only-mail", {"channels": {"email": {"subject": "s", "text": "t"}}})
    result = home.send_and_wait("bare", "only-mail", channels=["email", "sms"])
    assert {d["channel"]: d["reason"] for d in result["deliveries"]} == {"email": None, "sms": "no_content"}
    home.delete("/v1/providers/sandbox-chat")
    home.changed()
    result = home.send_and_wait("bare", "welcome", DATA, channels=["chat", "sms", "push"])
    assert {d["channel"]: d["reason"] for d in result["deliveries"]} == {
        "chat": "no_provider",
        "sms": "no_contact",
        "push": "no_contact",
    }
    skips = {moment["channel"]: moment for moment in result["timeline"] if moment["event"] == "skipped"}
    assert skips["chat"]["detail"] == "no provider for chat"
    assert skips["sms"]["reason"] == "no_contact"
    home.sandbox("chat")
