"""Rules shared by SMS vendors, and by all vendors without idempotency keys."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.message import HttpResponse
from clarion.domain.outcome import Accepted, Ambiguous, InvalidRecipient, Misconfigured, Throttled, Transient
from clarion.providers import texting
from clarion.providers.sms import termii, twilio, vonage
from tests.providers import battery

VENDORS = {"twilio": twilio, "vonage": vonage, "termii": termii}
WORDS = st.sampled_from(
    ["code", "error_code", "message", "messages", "status", "error-text", "sid", "message_id", "errors", "error"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from([21211, 30005, "0", "7", "ok"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


def message(**changes):
    return battery.message(battery.tables()["sms_twilio"], **changes)


@pytest.mark.parametrize("text", ["", "ABC xyz 019 @£$¥", "Δ_ΦΓΛΩΠΨΣΘΞ", "äöñüàÄÖÑÜ§¿", "^{}\\[~]|€\n\r\f"])
def test_text_of_the_alphabet_is_known(text):
    assert texting.in_gsm(text)


@pytest.mark.parametrize("text", ["`", "ç", "á", "\t", "–", "’", "₦", "\x1b", "🎉", "Α"])  # noqa: RUF001 - a Greek alpha
def test_text_outside_of_it_is_reported(text):
    assert not texting.in_gsm(f"ok {text}")


@pytest.mark.parametrize(
    ("address", "digits"), [("+4915112345678", "4915112345678"), ("2348012345678", "2348012345678")]
)
def test_numbers_go_without_their_plus(address, digits):
    assert texting.digits_of(message(address=address)) == digits


@pytest.mark.parametrize(
    "address", ["", "+", "+12345", "+0151123456", "++4915112345678", "+49 151", "a@b.c", "+4٣15112345678"]
)
def test_what_is_no_number_is_not_sent(address):
    with pytest.raises(ValueError, match="not a phone number"):
        texting.digits_of(message(address=address))


@pytest.mark.parametrize(
    ("parts", "words"), [({}, "empty"), ({"body": ""}, "empty"), ({"body": "\ud83d"}, "surrogate")]
)
def test_a_text_that_cannot_be_sent_is_not(parts, words):
    with pytest.raises(ValueError, match=words) as caught:
        texting.text_of(message(parts=parts))
    assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_5xx_may_have_been_sent(vendor, status):
    table = battery.tables()[f"sms_{vendor.TRAITS.vendor}"]
    assert isinstance(battery.answer(vendor, table, {"status": status}), Ambiguous)
    assert not vendor.TRAITS.idempotent


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
@given(status=st.sampled_from([200, 201, 302, 400, 404, 422, 429, 500, 503]), body=st.dictionaries(WORDS, VALUES))
def test_no_answer_surprises(vendor, status, body):
    table = battery.tables()[f"sms_{vendor.TRAITS.vendor}"]
    response = HttpResponse(status, {}, msgspec.json.encode(body))
    outcome = vendor.read(response, battery.message(table), battery.account(table), now_ms=battery.NOW_MS)
    assert not (isinstance(outcome, Accepted) and status >= 300)
    assert not (isinstance(outcome, InvalidRecipient) and status >= 500)
    if status >= 500:
        assert isinstance(outcome, Ambiguous | Throttled | Misconfigured)
    if isinstance(outcome, Throttled | Transient):
        assert outcome.after_ms is None or outcome.after_ms > 0


@pytest.mark.parametrize("vendor", [twilio, vonage], ids=["twilio", "vonage"])
def test_every_code_has_a_row(vendor):
    rows = battery.tables()[f"sms_{vendor.TRAITS.vendor}"]["rows"]
    bodies = " ".join(row.get("body", "") for row in rows)
    asked = {code for code in vendor.OUTCOMES if re.search(rf'(code|status)": "?{code}\b', bodies)}
    assert asked == set(vendor.OUTCOMES)


@pytest.mark.parametrize("at", range(len(termii.OUTCOMES)))
def test_every_rule_of_termii_decides_a_row(at, monkeypatch):
    table, rules = battery.tables()["sms_termii"], [*termii._OUTCOMES]
    rules[at] = (*rules[at][:2], "marked")
    monkeypatch.setattr(termii, "_OUTCOMES", tuple(rules))
    assert "marked" in [getattr(battery.answer(termii, table, row), "reason", "") for row in table["rows"]]
