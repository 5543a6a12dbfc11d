"""STOP, START and HELP: the keywords have the same effect with every vendor, and only as the whole message."""

import hashlib
import hmac
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.ports.receipts import HELP_KEYWORDS, START_KEYWORDS, STOP_KEYWORDS, Inbound, ReceiptCall, keyword_of
from clarion.providers.sms import termii, twilio, vonage
from clarion.providers.sms.twilio_receipts import ANSWERED, signature
from clarion.providers.whatsapp import whatsapp

URL = "https://notify.shop.example/v1/receipts/acme/words"
NUMBER = "+4915112345678"
SECRET = "canary"
WORDS = {
    **dict.fromkeys(STOP_KEYWORDS, "stop"),
    **dict.fromkeys(START_KEYWORDS, "start"),
    **dict.fromkeys(HELP_KEYWORDS, "help"),
}


def called(vendor, name, secret, headers, body):
    account = Account("acme", "words", Channel.SMS, name, 0, {}, {secret: SECRET})
    return vendor.read_receipts(ReceiptCall("POST", URL, {}, headers, body), account, now_ms=0, keys={})


def by_twilio(text):
    form = {"MessageSid": "SM1", "SmsStatus": "received", "From": NUMBER, "Body": text}
    headers = {"x-twilio-signature": signature(URL, form.items(), SECRET)}
    return called(twilio, "twilio", "secret", headers, urlencode(form).encode())


def by_vonage(text):
    form = {"messageId": "1", "msisdn": NUMBER[1:], "to": "1", "type": "text", "text": text, "timestamp": "0"}
    form["sig"] = vonage.signature(form, SECRET, "sha256")
    return called(vonage, "vonage", "signature_secret", {}, urlencode(form).encode())


def by_termii(text):
    body = msgspec.json.encode({"type": "inbound", "id": "1", "sender": NUMBER[1:], "message": text})
    headers = {"x-termii-signature": hmac.new(SECRET.encode(), body, hashlib.sha512).hexdigest()}
    return called(termii, "termii", "secret_key", headers, body)


def by_whatsapp(text):
    message = {"id": "1", "from": NUMBER[1:], "type": "text", "text": {"body": text}}
    entry = {"changes": [{"value": {"messages": [message]}}]}
    body = msgspec.json.encode({"object": "whatsapp_business_account", "entry": [entry]})
    headers = {"x-hub-signature-256": "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}
    return called(whatsapp, "whatsapp", "app_secret", headers, body)


VENDORS = (by_twilio, by_vonage, by_termii, by_whatsapp)
SPACE = st.text(" \t\r\n\u00a0", max_size=3)


@st.composite
def spelled(draw):
    """Return a keyword as people write it, and its effect."""
    word = draw(st.sampled_from(sorted(WORDS)))
    upper = draw(st.lists(st.booleans(), min_size=len(word), max_size=len(word)))
    letters = [letter.upper() if up else letter for letter, up in zip(word, upper, strict=True)]
    return draw(SPACE) + "".join(letters) + draw(SPACE), WORDS[word]


@given(spelled(), st.sampled_from(VENDORS))
def test_a_word_alone_counts_however_it_is_written(written, vendor):
    text, meaning = written
    [message] = vendor(text)
    assert isinstance(message, Inbound)
    assert (message.keyword, message.address, message.text) == (meaning, NUMBER, text)
    # Only Twilio replies by itself, and only to its own keywords.
    assert message.answered == (vendor is by_twilio and text.strip().casefold() in ANSWERED)


@given(spelled(), st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=8), st.sampled_from(VENDORS))
def test_a_word_among_others_does_not(written, other, vendor):
    for text in (f"{written[0]} {other}", f"{other} {written[0]}"):
        [message] = vendor(text)
        assert message.keyword == "other"
        assert not message.answered


@given(st.text(st.characters(codec="utf-8"), max_size=20), st.sampled_from(VENDORS))
def test_any_text_is_read_the_same_by_all(text, vendor):
    [message] = vendor(text)
    assert (message.keyword, message.text) == (keyword_of(text), text)


def test_no_word_has_two_meanings():
    assert len(WORDS) == len(STOP_KEYWORDS) + len(START_KEYWORDS) + len(HELP_KEYWORDS)
    assert set(WORDS) >= ANSWERED


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_same_message_again_is_the_same_event(vendor):
    assert vendor("stop") == vendor("stop")
    assert vendor("stop")[0].event_id == vendor("start")[0].event_id, "the vendor's id identifies the message"


@pytest.mark.parametrize("vendor", VENDORS)
def test_long_texts_are_cut(vendor):
    [message] = vendor("stop " * 5_000)
    assert (len(message.text), message.keyword) == (4_096, "other")
