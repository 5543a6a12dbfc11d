"""SNS's calls and errors against botocore's model of the service, and the encoding of its form."""

from urllib.parse import parse_qsl

import botocore.session
import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.domain.outcome import InvalidRecipient, Refused
from clarion.providers import sigv4
from clarion.providers.sms import sns
from tests.providers import battery

TABLE = battery.tables()["sms_sns"]
MODEL = botocore.session.get_session().get_service_model("sns").operation_model("Publish")
WHOLE = [
    row for row in TABLE["rows"] if row.get("body", "").rstrip().endswith(("</ErrorResponse>", "</PublishResponse>"))
]
BAD_NUMBER = next(row for row in TABLE["rows"] if row["case"] == "number-is-not-valid")


def form(settings=None, **changes):
    table = {**TABLE, "account": {**TABLE["account"], "settings": settings or TABLE["account"]["settings"]}}
    return dict(parse_qsl(battery.build(sns, table, **changes).body.decode(), keep_blank_values=True))


@pytest.mark.parametrize("settings", [TABLE["account"]["settings"], {"region": "eu-west-1", "sms_type": "Promotional"}])
def test_the_call_is_the_one_botocore_makes(settings):
    got = form(settings)
    attributes = {
        got[f"MessageAttributes.entry.{at}.Name"]: {
            kind: got[f"MessageAttributes.entry.{at}.Value.{kind}"] for kind in ("DataType", "StringValue")
        }
        for at in range(1, 7)
        if f"MessageAttributes.entry.{at}.Name" in got
    }
    given = {name: got[name] for name in ("PhoneNumber", "Message")} | {"MessageAttributes": attributes}
    ParamValidator().validate(given, MODEL.input_shape)
    assert create_serializer("query").serialize_to_request(given, MODEL)["body"] == got


def test_without_a_type_of_its_own_a_message_is_transactional():
    got = form({"region": "eu-west-1"})
    assert got["MessageAttributes.entry.1.Value.StringValue"] == "Transactional"
    assert "MessageAttributes.entry.2.Name" not in got


def test_every_error_of_the_call_has_an_outcome_of_its_own():
    assert {sigv4.code_of(shape.metadata["error"]["code"]) for shape in MODEL.error_shapes} <= set(sns.OUTCOMES)


@pytest.mark.parametrize("row", WHOLE, ids=lambda row: row["case"])
def test_answers_are_read_as_botocore_reads_them(row):
    raw = {"status_code": row["status"], "headers": {}, "body": row["body"].encode()}
    found = sns._elements(raw["body"])
    if "<ErrorResponse" not in row["body"]:
        assert found["MessageId"] == create_parser("query").parse(raw, MODEL.output_shape)["MessageId"]
        return
    error = create_parser("query").parse(raw | {"status_code": 400}, MODEL.output_shape)["Error"]
    assert (found["Code"], found["Message"]) == (error["Code"], error["Message"])


@given(text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=sns.BODY_CHARS_MAX))
@example(text="a&Action=DeleteTopic&b=%26+ \r\n=;")
def test_no_text_gets_out_of_its_field(text):
    got = form(parts={"body": text})
    assert got["Message"] == text
    assert got["Action"] == "Publish"
    assert len(got) == 4 + 3 * 6


def test_regions_that_send_text_messages_are_regions():
    known = botocore.session.get_session()
    assert {*known.get_available_regions("sns"), *known.get_available_regions("sns", "aws-us-gov")} >= sns.SMS_REGIONS


def test_a_region_that_calls_every_number_invalid_costs_no_address():
    row = {**BAD_NUMBER, "override": {"account": {"settings": {"region": "xx-nowhere-1"}}}}
    assert isinstance(battery.answer(sns, TABLE, row), Refused)
    assert isinstance(battery.answer(sns, TABLE, BAD_NUMBER), InvalidRecipient)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("", "1 to 1600 characters"), ("x" * 1601, "1 to 1600 characters"), ("a\ud83d", "half a surrogate pair")],
)
def test_what_sns_would_refuse_is_not_sent(text, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        battery.build(sns, TABLE, parts={"body": text})
    assert type(caught.value) is ValueError
