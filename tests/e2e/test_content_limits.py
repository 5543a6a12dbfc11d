"""Content over the limits of a vendor: it is shortened, split or refused, and the timeline reports which."""

import pytest

from tests.e2e.outside import one
from tests.e2e.seed import phone

LONG = {
    "push": {"title": "News", "body": "{{ text }}"},
    "sms": {"body": "{{ text }}"},
    "email": {"subject": "{{ text }}", "text": "t"},
}


@pytest.fixture
def home(tenant):
    return tenant.seed_data({"long": LONG}, ["push", "sms", "email"])


def accepted(notification):
    """Return the details of the accepted attempt and of its line in the timeline."""
    delivery = one(notification["deliveries"])
    moments = [moment for moment in notification["timeline"] if moment["event"] == "accepted" and moment["delivery_id"]]
    assert delivery["state"] == "sent"
    return one(delivery["attempts"])["detail"], one(moments)["detail"]


def test_a_push_that_is_shortened_says_so(home):
    home.user("ada", devices=[{"id": "phone", "channel": "push", "token": "token-1"}])
    attempt, moment = accepted(home.send_and_wait({"user_id": "ada"}, "long", {"text": "é" * 5_120}, channels=["push"]))
    sent = one(home.captured())["content"]["parts"]["body"]
    size = len(sent.encode())
    assert attempt == moment
    assert attempt == f"the body was shortened from 10,240 to {size:,} bytes: 4,096 bytes are the most there may be"


def test_a_subject_that_is_shortened_says_so(home):
    attempt, moment = accepted(
        home.send_and_wait({"email": "a@b.example"}, "long", {"text": "x" * 1_200}, channels=["email"])
    )
    assert attempt == moment
    assert attempt.startswith("the subject was shortened from 1,200 to 998 characters: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x" * 320, "split into 3 SMS segments (GSM-7)"),
        ("ж" * 71, "split into 2 SMS segments (UCS-2)"),
        ("x" * 160, ""),
    ],
)
def test_a_text_message_that_is_split_says_so(home, text, words):
    assert accepted(home.send_and_wait({"phone": phone(1)}, "long", {"text": text}, channels=["sms"])) == (words, words)


def test_what_is_refused_says_by_how_much(home):
    home.delete("/v1/providers/sandbox-sms")
    account = {"account_sid": "AC" + "0" * 32, "sender": "Shop", "base_url": "https://twilio.example"}
    body = {"channel": "sms", "vendor": "twilio", "settings": account, "credentials": {"secret": "not-used-here"}}
    home.put("/v1/providers/texts", body)
    home.changed()
    result = home.send_and_wait({"phone": phone(2)}, "long", {"text": "x" * 1_601}, channels=["sms"])
    delivery = one(result["deliveries"])
    assert (delivery["state"], delivery["reason"]) == ("failed", "refused")
    words = "over_limit: the body has 1,601 characters, 1,600 are allowed"
    assert one(delivery["attempts"])["detail"] == delivery["detail"] == words
    assert [moment["detail"] for moment in result["timeline"] if moment["event"] == "refused"] == [words]


def test_an_explanation_says_it_beforehand(home):
    asked = {"to": {"phone": phone(3)}, "template": "long", "data": {"text": "ж" * 71}, "channels": ["sms"]}
    sms = one(one(home.post("/v1/notifications/explain", asked)["recipients"])["channels"])
    assert sms["fitted"] == "split into 2 SMS segments (UCS-2)"
