"""SES beyond its table: encodings, header injection, and an outcome for every error of its API."""

import re
from email import message_from_string, policy
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clarion.domain.fitting import OverLimit
from clarion.domain.limits_content import SUBJECT_CHARS_MAX
from clarion.providers import sigv4
from clarion.providers.email import ses
from tests.providers import battery

TABLE = battery.tables()["email_ses"]
ERRORS = (
    "AccountSuspendedException BadRequestException LimitExceededException MailFromDomainNotVerifiedException"
    " MessageRejected NotFoundException SendingPausedException TooManyRequestsException"
)
SEEN = {sigv4.code_of(row.get("headers", {}).get("x-amzn-errortype", "")) for row in TABLE["rows"]}
PAGE = (Path(__file__).parents[2] / "docs" / "providers" / "ses.md").read_text(encoding="utf-8")
header_text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=150)


def sent(settings=None, metadata=None, **parts):
    table = {**TABLE, "account": {**TABLE["account"], "settings": {**TABLE["account"]["settings"], **(settings or {})}}}
    request = battery.build(ses, table, parts={"subject": "s", "text": "t", **parts}, metadata=metadata or {})
    return msgspec.json.decode(request.body)


def test_every_error_of_send_email_has_an_outcome_and_a_row():
    codes = {sigv4.code_of(name) for name in ERRORS.split()}
    assert codes <= set(ses.OUTCOMES)
    assert codes <= SEEN


@pytest.mark.parametrize("code", ses.OUTCOMES)
def test_each_outcome_is_in_the_table_and_on_the_page(code):
    assert code in SEEN
    assert re.search(rf"\b{code}\b", PAGE)


@given(name=header_text)
@example(name='a "b" \\ c')
@example(name="ß" * 150)
@example(name="=?utf-8?q?spoof?= <x@evil.example>, b@evil.example")
def test_the_senders_name_is_read_back(name):
    text = sent(from_name=name)["FromEmailAddress"]
    assert text.isascii()
    assert not set(text) & set("\r\n")
    (found,) = message_from_string(f"From: {text}\n\n", policy=policy.default)["From"].addresses
    assert found.addr_spec == "news@shop.example"


@given(subject=header_text, text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=500))
def test_texts_go_through_as_they_are(subject, text):
    content = sent(subject=subject, text=text, html=text)["Content"]["Simple"]
    assert content["Subject"]["Data"] == subject
    assert content["Body"] == {kind: {"Data": text, "Charset": "UTF-8"} for kind in ("Text", "Html")}


@pytest.mark.parametrize("junk", ["\r\n", "\n", "\0", "\u2028", "\ud800"])
@pytest.mark.parametrize("field", ["subject", "from_name", "reply_to", "list_unsubscribe"])
def test_nothing_can_add_a_header(field, junk):
    value = f"https://shop.example/{junk}Bcc: mallory@evil.example"
    with pytest.raises(ValueError, match=r"line break|not an"):
        sent(**({"metadata": {field: value}} if field == "list_unsubscribe" else {field: value}))


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"subject": "x" * (SUBJECT_CHARS_MAX + 1)}, "subject has 999 characters, 998 are"),
        ({"text": ""}, "needs a text or an html part"),
        ({"text": "a\ud83d"}, "half a surrogate pair"),
    ],
)
def test_what_ses_would_refuse_is_not_sent(parts, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        sent(**parts)
    assert type(caught.value) in (ValueError, OverLimit)


def test_a_message_before_a_template_before_the_account():
    settings = {"from_name": "Account", "reply_to": "a@shop.example", "list_unsubscribe": "https://shop.example/a"}
    of_account = sent(settings)
    assert of_account["FromEmailAddress"] == '"Account" <news@shop.example>'
    assert of_account["ReplyToAddresses"] == ["a@shop.example"]
    assert of_account["Content"]["Simple"]["Headers"][0]["Value"] == "<https://shop.example/a>"
    own = sent(settings, {"list_unsubscribe": "https://shop.example/m"}, from_name="Part", reply_to="p@shop.example")
    assert own["FromEmailAddress"] == '"Part" <news@shop.example>'
    assert own["ReplyToAddresses"] == ["p@shop.example"]
    assert own["Content"]["Simple"]["Headers"] == [{"Name": "List-Unsubscribe", "Value": "<https://shop.example/m>"}]


def test_what_is_not_set_is_not_sent():
    bare = sent({"from_name": "", "reply_to": "", "configuration_set": ""})
    assert sorted(bare) == ["Content", "Destination", "EmailTags", "FromEmailAddress"]
    assert "Headers" not in bare["Content"]["Simple"]
