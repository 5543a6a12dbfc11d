"""SES's bulk calls: content as a template without variables, the values of each recipient in its entry, a status for each."""

import re
from pathlib import Path

import msgspec
import pytest

from clarion.domain.attachment import Attachment
from clarion.domain.limits_delivery import SES_TEMPLATE_CHARS_MAX
from clarion.domain.outcome import Accepted, Ambiguous, Misconfigured, Refused, Throttled, Transient
from clarion.providers.email import ses
from tests.providers import batch, battery

TABLE = battery.tables()["email_ses"]
PAGE = (Path(__file__).parents[2] / "docs" / "providers" / "ses.md").read_text(encoding="utf-8")
MODEL = (
    "SUCCESS MESSAGE_REJECTED MAIL_FROM_DOMAIN_NOT_VERIFIED CONFIGURATION_SET_NOT_FOUND TEMPLATE_NOT_FOUND"
    " ACCOUNT_SUSPENDED ACCOUNT_THROTTLED ACCOUNT_DAILY_QUOTA_EXCEEDED INVALID_SENDING_POOL_NAME ACCOUNT_SENDING_PAUSED"
    " CONFIGURATION_SET_SENDING_PAUSED INVALID_PARAMETER TRANSIENT_FAILURE FAILED"
)
KINDS = {
    "accepted": Accepted,
    "account": Misconfigured,
    "later": Throttled,
    "quota": Throttled,
    "again": Transient,
}


def read(status, body=b"", count=2, **headers):
    return batch.read(ses, TABLE, count, status, body, headers)


def entries(*given):
    return {"BulkEmailEntryResults": list(given)}


def test_a_batch_is_a_template_without_variables_and_an_entry_each():
    sent = batch.messages(TABLE, "ada@example.org", "eve@bücher.example")
    request = batch.build(ses, TABLE, sent)
    alone = ses.build(sent[0], battery.account(TABLE), now_ms=battery.NOW_MS, token=None)
    assert request.url == alone.url.replace("outbound-emails", "outbound-bulk-emails")
    assert request.headers.keys() == alone.headers.keys()
    assert request.headers["authorization"] != alone.headers["authorization"]
    body, single = msgspec.json.decode(request.body), msgspec.json.decode(alone.body)
    simple = single.pop("Content")["Simple"]
    del single["Destination"], single["EmailTags"]
    assert body.pop("DefaultContent") == {
        "Template": {
            "TemplateContent": {
                "Subject": simple["Subject"]["Data"],
                **{kind: part["Data"] for kind, part in simple["Body"].items()},
            },
            "TemplateData": "{}",
        }
    }
    assert body.pop("BulkEmailEntries") == [
        {
            "Destination": {"ToAddresses": [email]},
            "ReplacementTags": [{"Name": "delivery_id", "Value": batch.delivery(number)}],
            "ReplacementHeaders": [{"Name": "List-Unsubscribe", "Value": f"<https://shop.example/u/{number}>"}],
        }
        for number, email in enumerate(["ada@example.org", "eve@xn--bcher-kva.example"])
    ]
    assert body == single


@pytest.mark.parametrize(
    "changes",
    [
        {"parts": {"subject": "Hi {{name}}", "text": "t"}},
        {"parts": {"subject": "s", "text": "a {{{ b"}},
        {"parts": {"subject": "s", "html": "<style>@media x{a{{b:c}}}</style>"}},
        {"metadata": {"list_unsubscribe": "https://shop.example/{{u}}"}},
        {"parts": {"subject": "s", "text": "x" * SES_TEMPLATE_CHARS_MAX}},
        {"parts": {"subject": "s", "text": "\ud800"}},
        {"parts": {"subject": "s"}},
        {"address": "nobody"},
        {"attachments": (Attachment("a.txt", content=b"x"),)},
    ],
)
def test_what_a_template_would_not_say_as_it_is_goes_alone(changes):
    (one,) = batch.messages(TABLE, "a@example.org")
    assert ses.batch_key(msgspec.structs.replace(one, **changes), battery.account(TABLE)) is None


def test_what_differs_in_more_than_the_recipient_does_not_share_a_call():
    owner = battery.account(TABLE)
    one, other = batch.messages(TABLE, "a@example.org", "b@example.org")
    assert ses.batch_key(one, owner) == ses.batch_key(other, owner)
    other = msgspec.structs.replace(other, parts=other.parts | {"subject": "Another"})
    assert ses.batch_key(one, owner) != ses.batch_key(other, owner)


def test_every_status_of_the_model_has_an_outcome():
    assert set(MODEL.split()) <= set(ses.STATUSES)


@pytest.mark.parametrize("status", ses.STATUSES)
def test_each_entry_has_its_own_outcome_and_the_page_has_its_status(status):
    parsed = read(
        200, entries({"Status": "SUCCESS", "MessageId": "m-1"}, {"Status": status, "MessageId": "m-2", "Error": "why"})
    )
    assert parsed[0] == Accepted("m-1")
    assert type(parsed[1]) is KINDS.get(ses.STATUSES[status], Refused)
    if isinstance(parsed[1], Refused):
        assert parsed[1].reason == ses.STATUSES[status]
    if not isinstance(parsed[1], Accepted):
        assert parsed[1].detail == f"HTTP 200: {status} why"
    assert re.search(rf"\b{status}\b", PAGE)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"Status": "SUCCESS"}, Ambiguous),
        ({"Status": "NEW_ONE", "Error": "?"}, Ambiguous),
        ({"Status": "MESSAGE_REJECTED", "Error": "Email address is not verified."}, Misconfigured),
        ({"Status": "ACCOUNT_DAILY_QUOTA_EXCEEDED"}, Throttled),
        ({"Status": ["SUCCESS"], "MessageId": "x"}, Ambiguous),
        ({}, Ambiguous),
        (None, Ambiguous),
        ("SUCCESS", Ambiguous),
    ],
)
def test_an_entry_that_is_not_plain(entry, expected):
    parsed = read(200, entries({"Status": "SUCCESS", "MessageId": "m-1"}, entry))
    assert type(parsed[1]) is expected
    assert "m-1" not in parsed[1].detail


def test_pauses_are_those_of_single_messages():
    parsed = read(200, entries({"Status": "ACCOUNT_THROTTLED"}, {"Status": "ACCOUNT_DAILY_QUOTA_EXCEEDED"}))
    assert [outcome.after_ms for outcome in parsed] == [ses.THROTTLED_MS, ses.QUOTA_MS]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"BulkEmailEntryResults": {}}', b'{"BulkEmailEntryResults": [{"St']
)
def test_an_answer_without_results_leaves_all_unknown(body):
    assert [type(outcome) for outcome in read(200, body)] == [Ambiguous, Ambiguous]


def test_results_of_another_number_are_not_made_to_fit():
    assert len(read(200, entries({"Status": "SUCCESS", "MessageId": "x"}))) == 1


@pytest.mark.parametrize(
    ("status", "code", "words", "expected"),
    [
        (429, "TooManyRequestsException", "Maximum sending rate exceeded.", Throttled),
        (400, "LimitExceededException", "Daily message quota exceeded.", Throttled),
        (400, "AccountSuspendedException", "", Misconfigured),
        (403, "SignatureDoesNotMatch", "", Misconfigured),
        (500, "InternalFailure", "", Transient),
        (503, "", "", Transient),
    ],
)
def test_a_failure_of_the_call_is_everybodys(status, code, words, expected):
    parsed = read(status, {"message": words}, **{"x-amzn-errortype": code})
    assert [type(outcome) for outcome in parsed] == [expected, expected]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "BadRequestException"), (400, "MessageRejected"), (403, "AccessDeniedException"), (404, "NotFoundException"),
        (404, "UnknownOperationException"), (404, ""),
    ],
)  # fmt: skip
def test_what_may_be_about_one_message_or_about_bulk_alone_sends_them_one_by_one(status, code):
    assert read(status, {"message": "no"}, **{"x-amzn-errortype": code}) is None
