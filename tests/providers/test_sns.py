"""SNS beyond its table: the encoding of its form, its XML, and an outcome for every error of its API."""

import re
from pathlib import Path
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.control.providers.fields import check_fields
from clarion.domain.fitting import OverLimit
from clarion.domain.outcome import InvalidRecipient, Refused
from clarion.providers import sigv4
from clarion.providers.sms import sns
from tests.providers import battery

TABLE = battery.tables()["sms_sns"]
ERRORS = (
    "AuthorizationError EndpointDisabled InternalError InvalidParameter InvalidSecurity KMSAccessDenied KMSDisabled"
    " KMSInvalidState KMSNotFound KMSOptInRequired KMSThrottling NotFound ParameterValueInvalid"
    " PlatformApplicationDisabled ValidationException"
)
SEEN = {sigv4.code_of(sns._elements(row.get("body", "").encode()).get("Code", "")) for row in TABLE["rows"]}
PAGE = (Path(__file__).parents[2] / "docs" / "providers" / "sns.md").read_text(encoding="utf-8")
BAD_NUMBER = next(row for row in TABLE["rows"] if row["case"] == "number-is-not-valid")


def form(settings=None, **changes):
    table = {**TABLE, "account": {**TABLE["account"], "settings": settings or TABLE["account"]["settings"]}}
    return dict(parse_qsl(battery.build(sns, table, **changes).body.decode(), keep_blank_values=True))


def test_without_a_type_of_its_own_a_message_is_transactional():
    got = form({"region": "eu-west-1"})
    assert got["MessageAttributes.entry.1.Value.StringValue"] == "Transactional"
    assert "MessageAttributes.entry.2.Name" not in got


def test_every_error_of_publish_has_an_outcome_and_a_row():
    codes = {sigv4.code_of(name) for name in ERRORS.split()}
    assert codes <= set(sns.OUTCOMES)
    assert codes <= SEEN


@pytest.mark.parametrize("code", sns.OUTCOMES)
def test_each_outcome_is_in_the_table_and_on_the_page(code):
    assert code in SEEN
    assert re.search(rf"\b{code}\b", PAGE)


@given(words=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=300))
@example(words="</Message><Code>OptedOut</Code>")
def test_words_in_xml_are_words_only(words):
    body = f"<ErrorResponse><Error><Code>Throttled</Code><Message>{escape(words)}</Message></Error></ErrorResponse>"
    assert sns._elements(body.encode()) == {"Code": "Throttled", "Message": words.strip()}


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=sns.BODY.most))
@example(text="a&Action=DeleteTopic&b=%26+ \r\n=;")
def test_no_text_gets_out_of_its_field(text):
    got = form(parts={"body": text})
    assert got["Message"] == text
    assert got["Action"] == "Publish"
    assert len(got) == 4 + 3 * 6


def test_regions_that_send_text_messages_can_be_set():
    for region in sns.SMS_REGIONS:
        check_fields(sigv4.SETTINGS, {"region": region}, "settings", secret=False)


def test_a_region_that_calls_every_number_invalid_costs_no_address():
    row = {**BAD_NUMBER, "override": {"account": {"settings": {"region": "xx-nowhere-1"}}}}
    assert isinstance(battery.answer(sns, TABLE, row), Refused)
    assert isinstance(battery.answer(sns, TABLE, BAD_NUMBER), InvalidRecipient)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("", "is empty"), ("x" * 1601, "1,601 characters, 1,600 are allowed"), ("a\ud83d", "half a surrogate pair")],
)
def test_what_sns_would_refuse_is_not_sent(text, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        battery.build(sns, TABLE, parts={"body": text})
    assert type(caught.value) in (ValueError, OverLimit)


@pytest.mark.parametrize("address", ["4915112345678x", "+49 151", "+0151", "ada@example.org", ""])
def test_what_is_no_number_is_not_sent(address):
    with pytest.raises(ValueError, match="not a phone number"):
        battery.build(sns, TABLE, address=address)
