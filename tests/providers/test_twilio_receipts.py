"""Twilio's calls: signatures by its own published vectors, the event of each status, and inbound messages."""

import hashlib
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.ports.receipts import Forged, Inbound, Receipt, ReceiptCall, Suppress, Unreadable
from clarion.providers.sms import twilio
from clarion.providers.sms.twilio_receipts import KINDS, SUPPRESSED, signature

SID = "SM0123456789abcdef0123456789abcdef"
REFERENCE = "dlv_019001900190019001900190019001900190019001900190"
URL = f"https://notify.shop.example/v1/receipts/acme/sms?ref={REFERENCE}"
TOKEN = "12345"
ACCOUNT = Account("acme", "sms", Channel.SMS, "twilio", 0, {"account_sid": "AC" + "0" * 32}, {"secret": TOKEN})
STATUS = {
    "SmsSid": SID, "SmsStatus": "delivered", "MessageStatus": "delivered", "To": "+4915112345678", "MessageSid": SID,
    "AccountSid": "AC" + "0" * 32, "From": "+15005550006", "ApiVersion": "2010-04-01",
}  # fmt: skip
PLAIN = st.text(st.characters(codec="utf-8"), max_size=20)

# From twilio-python, tests/unit/test_request_validator.py.
VECTOR_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
VECTOR = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}


def parse(body, signed, url=URL, account=ACCOUNT, method="POST", **headers):
    body = urlencode(body).encode() if isinstance(body, dict | list) else body
    headers = {"x-twilio-signature": signed, **headers} if signed is not None else headers
    call = ReceiptCall(method, url, dict(parse_qsl(url.partition("?")[2])), headers, body)
    return twilio.read_receipts(call, account, now_ms=0, keys={})


def of(fields, url=URL, **options):
    """Return the events of a correctly signed form."""
    return parse(fields, signature(url, [*fields.items()], TOKEN), url, **options)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (VECTOR_URL, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (VECTOR_URL.replace(".com", ".com:1234"), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (VECTOR_URL.replace(".com", ".com:1234").replace("https", "http"), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        (VECTOR_URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        (VECTOR_URL.replace("https", "http"), "0ZXoZLH/DfblKGATFgpif+LLRf4="),
    ],
)
def test_signatures_of_forms_are_those_of_twilios_library_with_and_without_a_port(url, expected):
    assert isinstance(parse(VECTOR, expected, url), Unreadable)
    assert isinstance(parse(VECTOR | {"Digits": "1235"}, expected, url), Forged)
    assert isinstance(parse(VECTOR, expected, url + "&x=1"), Forged)


def test_a_field_given_twice_counts_with_each_value_once():
    fields = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")]
    assert signature(VECTOR_URL, fields, TOKEN) == "IK+Dwps556ElfBT0I3Rgjkr1wJU="


def test_a_json_body_is_held_by_its_hash_in_the_url():
    body, signed = b'{"property": "value", "boolean": true}', "a9nBmqA0ju/hNViExpshrM61xv4="
    url = VECTOR_URL + "&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
    assert isinstance(parse(body, signed, url), Unreadable)
    assert isinstance(parse(body + b" ", signed, url), Forged)
    assert isinstance(parse(body, signed, VECTOR_URL), Forged)


def test_json_has_the_same_events_as_a_form():
    body = msgspec.json.encode(STATUS)
    url = f"{URL}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    assert parse(body, signature(url, [], TOKEN), url) == of(STATUS)


def test_a_delivered_message_is_found_by_our_reference_and_by_twilios_id():
    receipt = Receipt("delivered", "", reference=REFERENCE, vendor_message_id=SID, detail="delivered")
    [found] = of(STATUS)
    assert msgspec.structs.replace(found, event_id="") == receipt
    assert of(STATUS) == [found]
    # The same event with fields that came later is still the same event.
    assert of(STATUS | {"RawDlrDoneDate": "2611211200"}) == [found]
    assert of(STATUS | {"MessageStatus": "read"})[0].event_id != found.event_id
    assert of(STATUS, url=URL.partition("?")[0])[0].reference == ""


def test_a_get_is_signed_by_its_url_alone():
    url = f"{URL}&{urlencode(STATUS)}"
    assert parse(b"", signature(url, [], TOKEN), url, method="GET") == of(STATUS)
    assert isinstance(parse(b"", signature(url, [], TOKEN), url + "&a=b", method="GET"), Forged)


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason"),
    [
        ("delivered", "", "delivered", None),
        ("read", "", "read", None),
        ("undelivered", "30003", "bounced", None),
        ("undelivered", "30004", "bounced", None),
        ("undelivered", "30005", "bounced", "invalid_recipient"),
        ("undelivered", "30006", "bounced", "invalid_recipient"),
        ("failed", "21610", "bounced", "stop"),
        ("failed", "30007", "bounced", None),
        ("failed", "30008", "bounced", None),
        ("failed", "", "bounced", None),
        ("canceled", "", "bounced", None),
        ("DELIVERED", "30005", "delivered", None),
    ],
)
def test_what_a_status_means(status, code, kind, reason):
    [receipt] = of(STATUS | {"MessageStatus": status, "ErrorCode": code})
    assert (receipt.kind, receipt.suppress) == (kind, Suppress("+4915112345678", reason) if reason else None)
    assert code in receipt.detail or kind != "bounced"


@pytest.mark.parametrize("status", ["accepted", "scheduled", "queued", "sending", "sent"])
def test_intermediate_statuses_are_ignored(status):
    assert of(STATUS | {"MessageStatus": status}) == []


INBOUND = {
    "MessageSid": SID, "SmsSid": SID, "SmsMessageSid": SID, "SmsStatus": "received", "AccountSid": "AC" + "0" * 32,
    "From": "+4915112345678", "To": "+15005550006", "Body": "Stop ", "NumMedia": "0",
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "word", "answered"),
    [
        ({}, "stop", True),
        ({"Body": "YES"}, "start", True),
        ({"Body": "info"}, "help", True),
        ({"Body": "please stop"}, "other", False),
        ({"Body": "Arret"}, "stop", False),
        ({"Body": "Halt", "OptOutType": "STOP"}, "stop", True),
        ({"Body": "stop", "OptOutType": "HELP"}, "help", True),
        ({"Body": "hi", "OptOutType": "new"}, "other", False),
    ],
)
def test_inbound_words(fields, word, answered):
    [message] = of(INBOUND | fields)
    assert isinstance(message, Inbound)
    assert (message.address, message.keyword, message.answered) == ("+4915112345678", word, answered)
    assert message.text == (INBOUND | fields)["Body"]
    assert of(INBOUND | fields) == [message]


def test_with_an_api_key_the_auth_token_has_to_be_given():
    settings = {**ACCOUNT.settings, "api_key_sid": "SK" + "0" * 32}
    keyed = msgspec.structs.replace(ACCOUNT, settings=settings)
    assert of(STATUS, account=keyed) == Forged("no auth_token is set")
    both = msgspec.structs.replace(keyed, credentials={"secret": "other", "auth_token": TOKEN})
    assert of(STATUS, account=both) == of(STATUS)
    assert isinstance(of(STATUS, account=msgspec.structs.replace(both, credentials={"secret": TOKEN})), Forged)


def test_a_call_without_a_signature_is_forged():
    assert isinstance(parse(STATUS, None), Forged)
    assert isinstance(parse(STATUS, ""), Forged)
    assert isinstance(parse(STATUS, signature(URL, [*STATUS.items()], "")), Forged)
    assert isinstance(parse(b"\xff", signature(URL, [], TOKEN)), Forged)
    assert isinstance(parse(b"&".join([b"a=b"] * 300), signature(URL, [("a", "b")], TOKEN)), Forged)


@given(st.sampled_from(sorted(STATUS)), PLAIN)
def test_any_other_value_is_forged(name, value):
    changed = parse(STATUS | {name: value}, signature(URL, [*STATUS.items()], TOKEN))
    assert isinstance(changed, Forged) == (value != STATUS[name])


@given(st.integers(0, len(URL) - 1), st.characters(codec="utf-8"))
def test_any_other_url_is_forged(at, character):
    url = URL[:at] + character + URL[at + 1 :]
    assert isinstance(parse(STATUS, signature(URL, [*STATUS.items()], TOKEN), url), Forged) == (url != URL)


@given(st.data())
def test_any_other_byte_of_json_is_forged(data):
    body = msgspec.json.encode(STATUS)
    url = f"{URL}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    at = data.draw(st.integers(0, len(body) - 1))
    changed = body[:at] + bytes([data.draw(st.integers(0, 255))]) + body[at + 1 :]
    assert isinstance(parse(changed, signature(url, [], TOKEN), url), Forged) == (changed != body)


@given(st.binary(max_size=200), PLAIN, PLAIN, st.sampled_from(["GET", "POST", "PUT"]))
def test_nothing_raises(body, url, signed, method):
    assert isinstance(parse(body, signed, url, method=method), Forged)


@given(st.dictionaries(st.sampled_from([*STATUS, *INBOUND, "OptOutType", "ErrorCode"]), PLAIN))
def test_nothing_signed_raises(fields):
    assert isinstance(of(fields), list | Unreadable)


def test_every_status_and_code_is_on_the_page():
    page = (Path(__file__).parents[2] / "docs/providers/twilio.md").read_text().partition("## Receipts")[2]
    assert not {word for word in [*KINDS, *SUPPRESSED] if word not in page}
