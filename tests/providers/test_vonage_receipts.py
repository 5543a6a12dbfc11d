"""Vonage's calls: signatures by the vectors of its own libraries, in every encoding, and their events."""

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.limits_delivery import RECEIPT_AGE_MS_MAX, RECEIPT_AHEAD_MS_MAX
from clarion.ports.receipts import Forged, Inbound, ReceiptCall, Suppress, Unreadable
from clarion.providers.sms import vonage
from clarion.providers.sms.vonage_receipts import ERRORS, KINDS

URL = "https://notify.shop.example/v1/receipts/acme/sms"
REFERENCE = "dlv_019001900190019001900190019001900190019001900190-00c0ffee00c0ffee-1f"
NOW_S = 1_540_469_429
FORMS = ("GET", "form", "JSON")
ACCOUNT = Account("acme", "sms", Channel.SMS, "vonage", 0, {}, {"signature_secret": "secret"})
# The receipts and the message of Vonage's pages about them.
DELIVERED = {
    "err-code": "0", "message-timestamp": "2018-10-25 12:10:29", "messageId": "0B00000127FDBC63", "msisdn": "447547232824",
    "network-code": "23410", "price": "0.03330000", "scts": "1810251310", "status": "delivered", "to": "Nexmo CLI",
}  # fmt: skip
OPTED_OUT = {
    "msisdn": "447700900000", "to": "AcmeInc", "network-code": "12345", "messageId": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
    "price": "0.00000000", "status": "failed", "scts": "2001011400", "err-code": "9", "api-key": "abcd1234",
    "message-timestamp": "2020-01-01 12:00:00",
}  # fmt: skip
INBOUND = {
    "msisdn": "447700900001", "to": "447700900000", "messageId": "0A0000000123ABCD1", "text": "Stop", "type": "text",
    "keyword": "STOP", "message-timestamp": "2020-01-01 12:00:00",
}  # fmt: skip
PLAIN = st.text(st.characters(codec="utf-8"), max_size=20)


def account(**settings):
    return msgspec.structs.replace(ACCOUNT, settings=settings)


def signed(fields, method="sha256", at_s=NOW_S):
    """Return the fields with time, nonce and signature."""
    form = {**fields, "timestamp": str(at_s), "nonce": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"}
    return {**form, "sig": vonage.signature(form, "secret", method)}


def parse(fields, how="form", who=ACCOUNT, now_s=NOW_S, body=None):
    query = "?" + urlencode(fields) if how == "GET" else ""
    if body is None:
        body = {"GET": b"", "form": urlencode(fields).encode(), "JSON": msgspec.json.encode(fields)}[how]
    call = ReceiptCall("GET" if how == "GET" else "POST", URL + query, dict(parse_qsl(query[1:])), {}, body)
    return vonage.read_receipts(call, who, now_ms=now_s * 1000, keys={})


# From vonage-python-sdk, its tests of signatures.
@pytest.mark.parametrize("how", FORMS)
@pytest.mark.parametrize(
    ("method", "sig"),
    [
        ("md5hash", "6af838ef94998832dbfc29020b564830"),
        ("md5", "c15c21ced558c93a226c305f58f902f2"),
        ("sha1", "3e19a4e6880fdc2c1426bfd0587c98b9532f0210"),
        ("sha256", "a321e824b9b816be7c3f28859a31749a098713d39f613c80d455bbaffae1cd24"),
        (
            "sha512",
            "812a18f76680fa0fe1b8bd9ee1625466ceb1bd96242e4d050d2cfd9a7b40166c"
            "63ed26ec9702168781b6edcf1633db8ff95af9341701004eec3fcf9550572ee8",
        ),
    ],
)
def test_signatures_are_those_of_vonages_libraries(how, method, sig):
    fields, at_s = {"a": "1", "b": "2", "timestamp": "1461605396", "sig": sig}, 1_461_605_396
    assert isinstance(parse(fields, how, account(signature_method=method), at_s), Unreadable)
    assert isinstance(parse(fields | {"sig": sig.upper()}, how, account(signature_method=method), at_s), Unreadable)
    for changed in ({"a": "2"}, {"c": ""}, {"sig": "xxx"}, {"sig": ""}):
        assert isinstance(parse(fields | changed, how, account(signature_method=method), at_s), Forged)
    other = "sha512" if method != "sha512" else "sha1"
    assert isinstance(parse(fields, how, account(signature_method=other), at_s), Forged)


@pytest.mark.parametrize("how", FORMS)
def test_a_receipt_is_about_its_msisdn(how):
    [receipt] = parse(signed(DELIVERED | {"client-ref": REFERENCE}), how)
    assert (receipt.kind, receipt.reference, receipt.detail) == ("delivered", REFERENCE, "delivered")
    assert (receipt.vendor_message_id, receipt.at_ms, receipt.suppress) == ("0B00000127FDBC63", NOW_S * 1000, None)
    [opted_out] = parse(signed(OPTED_OUT), how)
    assert opted_out.suppress == Suppress("+447700900000", "stop")
    assert opted_out.detail == "failed 9 asked not to be messaged"


@pytest.mark.parametrize("how", FORMS)
def test_an_inbound_message_is_from_its_msisdn(how):
    [message] = parse(signed(INBOUND), how)
    assert message == Inbound(message.event_id, "+447700900001", "Stop", "stop", 1_577_880_000_000)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"text": " START "}, "start"),
        ({"text": "help"}, "help"),
        ({"text": "stop it"}, "other"),
        ({"text": "stop", "concat": "true", "concat-part": "2"}, "other"),
        ({"text": "stop", "concat": "false"}, "stop"),
        ({"type": "binary", "text": ""}, "other"),
    ],
)
def test_inbound_words(fields, word):
    [message] = parse(signed(INBOUND | fields))
    assert (message.keyword, message.answered) == (word, False)


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason"),
    [
        ("delivered", "0", "delivered", None),
        ("expired", "12", "bounced", None),
        ("failed", "1", "bounced", None),
        ("failed", "2", "bounced", None),
        ("failed", "3", "bounced", "invalid_recipient"),
        ("failed", "7", "bounced", None),
        ("rejected", "9", "bounced", "stop"),
        ("rejected", "14", "bounced", None),
        ("failed", "99", "bounced", None),
        ("failed", "1234", "bounced", None),
        ("buffered", "0", "deferred", None),
        ("unknown", "3", "deferred", None),
        ("delivered", "3", "delivered", None),
    ],
)
def test_what_a_status_means(status, code, kind, reason):
    [receipt] = parse(signed(OPTED_OUT | {"status": status, "err-code": code}))
    assert (receipt.kind, receipt.suppress) == (kind, Suppress("+447700900000", reason) if reason else None)


def test_an_accepted_message_has_no_event_and_an_unknown_status_is_reported():
    assert parse(signed(DELIVERED | {"status": "accepted"})) == []
    assert parse(signed(DELIVERED | {"status": "teleported"})) == Unreadable("unknown status teleported")
    assert isinstance(parse(signed({"messageId": "1", "msisdn": "2"})), Unreadable)


def test_the_same_event_again_is_the_same_event():
    [first] = parse(signed(DELIVERED))
    [again] = parse(signed(DELIVERED | {"message-timestamp": "2018-10-25 13:00:00"}, at_s=NOW_S + 60))
    assert first.event_id == again.event_id
    [failed] = parse(signed(DELIVERED | {"status": "failed"}))
    [message] = parse(signed(INBOUND | {"messageId": DELIVERED["messageId"]}))
    assert len({first.event_id, failed.event_id, message.event_id}) == 3


def test_the_time_of_a_call_bounds_how_long_it_can_be_repeated():
    fields = signed(DELIVERED)
    for late_s in (0, 24 * 3600, RECEIPT_AGE_MS_MAX // 1000, -RECEIPT_AHEAD_MS_MAX // 1000):
        assert isinstance(parse(fields, now_s=NOW_S + late_s), list)
    for late_s in (RECEIPT_AGE_MS_MAX // 1000 + 1, -RECEIPT_AHEAD_MS_MAX // 1000 - 1):
        assert isinstance(parse(fields, now_s=NOW_S + late_s), Forged)
    for timestamp in ("", "now", f"{NOW_S}000", "-1"):
        odd = {**DELIVERED, "timestamp": timestamp}
        assert isinstance(parse({**odd, "sig": vonage.signature(odd, "secret", "sha256")}), Forged)
    written = {**DELIVERED, "timestamp": DELIVERED["message-timestamp"]}
    assert isinstance(parse({**written, "sig": vonage.signature(written, "secret", "sha256")}), list)
    untimed = {**DELIVERED, "sig": vonage.signature(DELIVERED, "secret", "sha256")}
    assert isinstance(parse(untimed), Forged)


def test_without_a_secret_everything_is_forged():
    nobody = msgspec.structs.replace(ACCOUNT, credentials={"api_secret": "secret"})
    assert parse(signed(DELIVERED), who=nobody) == Forged("no signature_secret is set")


def test_what_could_be_signed_as_something_else_is_forged():
    fields = signed(DELIVERED)
    good = urlencode(fields)
    assert isinstance(parse(fields, body=good.encode()), list)
    # Two fields as one whose name contains the other, and a repeated field.
    name = next(iter(fields))
    rest = {key: value for key, value in fields.items() if key not in ("msisdn", "network-code")}
    joined = {f"msisdn={DELIVERED['msisdn']}&network-code": DELIVERED["network-code"], **rest}
    assert vonage.signature(joined, "secret", "sha256") == fields["sig"]
    assert isinstance(parse(joined), Forged)
    assert isinstance(parse(fields, body=f"{name}=x&{good}".encode()), Forged)
    assert isinstance(parse(fields | {"price": ["0.03330000"]}, "JSON"), Forged)
    assert isinstance(parse(fields | {"extra": None}, "JSON"), Forged)


@given(st.sampled_from(FORMS), st.sampled_from(sorted(signed(DELIVERED))), PLAIN)
def test_any_other_value_is_forged(how, name, value):
    fields = signed(DELIVERED)
    assume(value.replace("&", "_").replace("=", "_") != fields[name] and value.lower() != fields[name])
    assert isinstance(parse(fields | {name: value}, how), Forged)


@given(st.sampled_from(FORMS), PLAIN, PLAIN)
def test_any_further_field_is_forged(how, name, value):
    fields = signed(DELIVERED)
    assume(name not in fields)
    assert isinstance(parse(fields | {name: value}, how), Forged)


@given(st.binary(max_size=200), PLAIN, st.sampled_from(["GET", "POST", "PUT"]))
def test_nothing_raises(body, url, method):
    for sent in (body, b"{" + body, b'{"a":' + body + b"}"):
        assert isinstance(
            vonage.read_receipts(ReceiptCall(method, url, {}, {}, sent), ACCOUNT, now_ms=0, keys={}), Forged
        )


@given(st.sampled_from(FORMS), st.dictionaries(st.sampled_from(sorted({**OPTED_OUT, **INBOUND})), PLAIN))
def test_nothing_signed_raises(how, fields):
    assert isinstance(parse(signed(fields), how), list | Unreadable)


def test_every_status_and_code_is_on_the_page():
    page = (Path(__file__).parents[2] / "docs/providers/vonage.md").read_text().partition("## Receipts")[2]
    assert not {status for status in KINDS if f"`{status}`" not in page}
    assert not {code for code in ERRORS if not re.search(rf"[|,] {code}[ :]", page)}
