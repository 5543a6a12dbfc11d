"""Postmark's batches: each message as in a single call, and each entry of the response read separately."""

import msgspec
import pytest

from clarion.domain.attachment import Attachment
from clarion.domain.outcome import Accepted, Ambiguous, InvalidRecipient, Misconfigured, Refused, Throttled, Transient
from clarion.providers.email import postmark
from tests.providers import batch, battery

TABLE = battery.tables()["email_postmark"]
OK = {
    "To": "a@example.org",
    "SubmittedAt": "2026-09-21T14:13:20Z",
    "MessageID": "b7bc2f4a",
    "ErrorCode": 0,
    "Message": "OK",
}
INACTIVE = {
    "ErrorCode": 406,
    "Message": "You tried to send to a recipient that has been marked as inactive.\nFound inactive addresses: a1@example.org.",
}


def read(status, body=b"", count=2, **headers):
    return batch.read(postmark, TABLE, count, status, body, headers)


def test_a_batch_is_the_messages_as_they_go_alone():
    sent = batch.messages(TABLE, "Ada@example.org", "eve@example.org")
    request = batch.build(postmark, TABLE, sent)
    alone = [postmark.build(one, battery.account(TABLE), now_ms=battery.NOW_MS, token=None) for one in sent]
    assert request.url == "https://api.postmarkapp.com/email/batch"
    assert (request.method, request.headers) == ("POST", alone[0].headers)
    assert msgspec.json.decode(request.body) == [msgspec.json.decode(one.body) for one in alone]
    assert msgspec.json.decode(request.body)[1] == {
        "From": '"Shop, Ltd." <news@shop.example>',
        "To": "eve@example.org",
        "ReplyTo": "help@shop.example",
        "Subject": "Your order",
        "TextBody": "It is on its way.",
        "HtmlBody": "<p>It is on its way.</p>",
        "MessageStream": "outbound",
        "Metadata": {"delivery_id": batch.delivery(1)},
        "Headers": [{"Name": "List-Unsubscribe", "Value": "<https://shop.example/u/1>"}],
    }


def test_contents_may_differ_and_files_go_alone():
    owner = battery.account(TABLE)
    one, other = batch.messages(TABLE, "a@example.org", "b@example.org")
    other = msgspec.structs.replace(other, parts={"subject": "s", "text": "t"})
    assert postmark.batch_key(one, owner) == postmark.batch_key(other, owner)
    assert postmark.batch_key(msgspec.structs.replace(one, attachments=(Attachment("a.txt"),)), owner) is None


def test_one_that_cannot_be_built_is_no_batch():
    sent = batch.messages(TABLE, "a@example.org", "b@example.org\r\nbcc: c@example.org")
    with pytest.raises(ValueError, match="address"):
        batch.build(postmark, TABLE, sent)


def test_http_200_says_nothing_of_the_entries():
    parsed = read(200, [OK, INACTIVE, {"ErrorCode": 300, "Message": "Invalid 'To' address: 'a2@'."}], count=3)
    assert parsed[0] == Accepted("b7bc2f4a")
    assert parsed[1].detail.startswith("HTTP 200: 406 You tried to send")
    assert [type(outcome) for outcome in parsed] == [Accepted, InvalidRecipient, InvalidRecipient]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"ErrorCode": 0, "Message": "OK"}, Ambiguous),
        ({"MessageID": "x", "Message": "Message accepted, but delivery may be delayed."}, Accepted),
        (
            {"ErrorCode": 0, "MessageID": "x", "Message": "OK, but not to inactive addresses: a1@example.org"},
            InvalidRecipient,
        ),
        ({"ErrorCode": 0, "MessageID": "x", "Message": "OK, but not to inactive addresses: a0@example.org"}, Accepted),
        ({"ErrorCode": 300, "Message": "Invalid 'From' address."}, Refused),
        ({"ErrorCode": 400, "Message": "no signature"}, Misconfigured),
        ({"ErrorCode": 405, "Message": "no credits"}, Misconfigured),
        ({"ErrorCode": 100, "Message": "Maintenance"}, Transient),
        ({"ErrorCode": 429, "Message": "Rate Limit Exceeded"}, Throttled),
        ({"ErrorCode": 9_999, "Message": "?"}, Refused),
        ({}, Ambiguous),
        (None, Ambiguous),
        ("x", Ambiguous),
        ([OK], Ambiguous),
    ],
)
def test_each_entry_is_read_as_an_answer_of_its_own(entry, expected):
    parsed = read(200, [OK, entry])
    assert parsed[0] == Accepted("b7bc2f4a")
    assert type(parsed[1]) is expected
    assert "b7bc2f4a" not in getattr(parsed[1], "detail", "")


@pytest.mark.parametrize(("entries", "count"), [([], 2), ([OK], 2), ([OK] * 3, 2)])
def test_a_list_of_another_length_says_nothing_of_any(entries, count):
    parsed = read(200, entries, count)
    assert len(parsed) == len(entries)
    assert {type(outcome) for outcome in parsed} <= {Ambiguous}


@pytest.mark.parametrize("body", [b"", b"[", b"{}", b"null", msgspec.json.encode(OK), b"[" * 5_000, b"\xff"])
def test_an_answer_that_is_no_list_leaves_all_unknown(body):
    assert [type(outcome) for outcome in read(200, body)] == [Ambiguous, Ambiguous]


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, {"ErrorCode": 10, "Message": "no token"}, Misconfigured),
        (422, {"ErrorCode": 405, "Message": "no credits"}, Misconfigured),
        (429, {"ErrorCode": 429, "Message": "slow down"}, Throttled),
        (422, {"ErrorCode": 100, "Message": "Maintenance"}, Transient),
        (500, b"", Transient),
        (503, b"<html>", Transient),
    ],
)
def test_a_failure_of_the_call_is_everybodys(status, body, expected):
    assert [type(outcome) for outcome in read(status, body)] == [expected, expected]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, {"ErrorCode": 410, "Message": "too many"}),
        (413, b""),
        (422, {"ErrorCode": 402, "Message": "JSON"}),
        (404, b""),
    ],
)
def test_a_call_that_is_refused_is_not_said_to_be_anybodys_fault(status, body):
    assert read(status, body) is None


def test_the_pause_is_everybodys():
    assert read(429, b"", **{"retry-after": "7"}) == [Throttled(7_000, "HTTP 429"), Throttled(7_000, "HTTP 429")]
