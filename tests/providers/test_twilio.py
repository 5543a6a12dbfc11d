"""Twilio's sender, authentication, validity and length; its responses are in the table."""

import base64
from urllib.parse import parse_qs, parse_qsl

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.providers.sms import twilio
from tests.providers import battery

TABLE = battery.tables()["sms_twilio"]
ACCOUNT = battery.account(TABLE)
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=200)


def request(settings=(), **changes):
    account = msgspec.structs.replace(ACCOUNT, settings={**ACCOUNT.settings, **dict(settings)})
    return twilio.build(battery.message(TABLE, **changes), account, now_ms=battery.NOW_MS, token=None)


def form(settings=(), **changes):
    return dict(parse_qsl(request(settings, **changes).body.decode(), strict_parsing=True))


@pytest.mark.parametrize(
    ("sender", "field"),
    [
        ("+15005550006", "From"),
        ("24567", "From"),
        ("Shop & Co", "From"),
        ("MGM", "From"),
        ("MG" + "0123456789abcdef" * 2, "MessagingServiceSid"),
    ],
)
def test_a_messaging_service_is_distinguished_from_a_sender(sender, field):
    sent = form({"sender": sender})
    assert sent[field] == sender
    assert ("From" in sent) != ("MessagingServiceSid" in sent)


def test_an_api_key_signs_in_for_the_account():
    key = "SK" + "0123456789abcdef" * 2
    made = request({"api_key_sid": key})
    assert base64.b64decode(made.headers["authorization"].removeprefix("Basic ")) == f"{key}:canary-auth-token".encode()
    assert ACCOUNT.settings["account_sid"] in made.url


def test_the_secret_is_in_no_url():
    assert "canary" not in request().url


def test_a_region_has_an_origin_of_its_own():
    made = request({"base_url": "https://api.dublin.ie1.twilio.com/"})
    assert made.url.startswith("https://api.dublin.ie1.twilio.com/2010-04-01/Accounts/AC")


@pytest.mark.parametrize(
    ("left_ms", "validity"), [(-5_000, "1"), (999, "1"), (1_999, "1"), (2_000, "2"), (11 * 3_600_000, "36000")]
)
def test_validity_stays_within_what_twilio_takes(left_ms, validity):
    assert form(expires_ms=battery.NOW_MS + left_ms)["ValidityPeriod"] == validity


def test_what_never_expires_has_no_validity():
    assert "ValidityPeriod" not in form(expires_ms=None)


def test_what_twilio_refuses_for_sure_is_not_sent():
    assert len(form(parts={"body": "ß" * 1_600})["Body"]) == 1_600
    with pytest.raises(ValueError, match="1,600 are allowed"):
        form(parts={"body": "x" * 1_601})


@given(TEXT)
def test_every_text_arrives_as_it_is(text):
    made = request(parts={"body": text})
    assert made.body.isascii()
    assert parse_qs(made.body.decode(), keep_blank_values=True)["Body"] == [text]


def test_a_stated_pause_outweighs_our_own():
    row = {"status": 429, "headers": {"retry-after": "7"}, "body": '{"code": 21611}'}
    assert battery.answer(twilio, TABLE, row).after_ms == 7_000
