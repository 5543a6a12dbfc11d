"""SendGrid's personalizations: one content for all, the values of each recipient with the address, errors by position."""

import msgspec
import pytest

from clarion.domain.attachment import Attachment
from clarion.domain.outcome import Accepted, InvalidRecipient, Misconfigured, Throttled, Transient
from clarion.providers.email import sendgrid
from tests.providers import batch, battery

TABLE = battery.tables()["email_sendgrid"]
BAD = "Does not contain a valid address."


def read(status, body=b"", count=3, **headers):
    return batch.read(sendgrid, TABLE, count, status, body, headers)


def errors(*pairs):
    return {"errors": [{"field": field, "message": message} for field, message in pairs]}


def test_a_batch_is_one_content_with_a_personalization_each():
    sent = batch.messages(TABLE, "ada@example.org", "eve@bücher.example")
    request = batch.build(sendgrid, TABLE, sent)
    alone = sendgrid.build(sent[0], battery.account(TABLE), now_ms=battery.NOW_MS, token=None)
    assert (request.method, request.url, request.headers) == (alone.method, alone.url, alone.headers)
    body, shared = msgspec.json.decode(request.body), msgspec.json.decode(alone.body)
    personal = body.pop("personalizations")
    for name in ("personalizations", "custom_args", "headers"):
        del shared[name]
    assert body == shared
    assert body["tracking_settings"] == {"subscription_tracking": {"enable": False}}
    assert personal == [
        {
            "to": [{"email": email}],
            "custom_args": {"delivery_id": batch.delivery(number)},
            "headers": {"List-Unsubscribe": f"<https://shop.example/u/{number}>"},
        }
        for number, email in enumerate(["ada@example.org", "eve@xn--bcher-kva.example"])
    ]


def test_one_click_is_a_header_of_each():
    sent = [
        msgspec.structs.replace(one, unsubscribe_url=f"https://c.example/{number}")
        for number, one in enumerate(batch.messages(TABLE, "a@example.org", "b@example.org", metadata={}))
    ]
    body = msgspec.json.decode(batch.build(sendgrid, TABLE, sent).body)
    assert [one["headers"] for one in body["personalizations"]] == [
        {"List-Unsubscribe": f"<https://c.example/{number}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
        for number in range(2)
    ]


def test_without_links_there_are_no_headers():
    sent = batch.messages(TABLE, "a@example.org", "b@example.org", metadata={})
    body = msgspec.json.decode(batch.build(sendgrid, TABLE, sent, list_unsubscribe="").body)
    assert "headers" not in body
    assert "tracking_settings" not in body
    assert not [one for one in body["personalizations"] if "headers" in one]


@pytest.mark.parametrize(
    "changes",
    [
        {"parts": {"subject": "Your order", "text": "It is on its way.", "html": "<p>It is on its way!</p>"}},
        {"parts": {"subject": "Your order", "text": "It is on its way.", "html": "<p>It is on its way.</p>", "from_name": "x"}},
        {"metadata": {}},
    ],
)  # fmt: skip
def test_what_differs_in_more_than_the_recipient_does_not_share_a_call(changes):
    owner = batch.account(TABLE, list_unsubscribe="")
    (one,), (other,) = batch.messages(TABLE, "a@example.org"), batch.messages(TABLE, "b@example.org", **changes)
    assert sendgrid.batch_key(one, owner) != sendgrid.batch_key(other, owner)


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "nobody"},
        {"parts": {"subject": "s", "text": "\ud800"}},
        {"parts": {"subject": "s\n", "text": "t"}},
        {"attachments": (Attachment("a.txt", content=b"x"),)},
    ],
)
def test_what_cannot_be_shared_goes_alone(changes):
    (one,) = batch.messages(TABLE, "a@example.org")
    assert sendgrid.batch_key(msgspec.structs.replace(one, **changes), battery.account(TABLE)) is None


@pytest.mark.parametrize("again", ["a@example.org", "A@Example.org", "a@bücher.example"])
def test_an_address_is_in_a_call_once(again):
    sent = batch.messages(TABLE, "a@example.org", "a@xn--bcher-kva.example", again)
    with pytest.raises(ValueError, match="twice"):
        batch.build(sendgrid, TABLE, sent)


def test_an_accepted_call_is_accepted_for_all():
    assert read(202, **{"x-message-id": "id"}) == [Accepted("id")] * 3


def test_the_bad_addresses_are_named_and_the_others_are_free_to_go_again():
    parsed = read(400, errors(("personalizations.1.to.0.email", BAD)))
    assert parsed == [None, InvalidRecipient(f"HTTP 400: personalizations.1.to.0.email {BAD}"), None]
    parsed = read(400, errors(("personalizations.0.to.0.email", BAD), ("personalizations[2].to[0].email", BAD)))
    assert [type(outcome) for outcome in parsed] == [InvalidRecipient, type(None), InvalidRecipient]


@pytest.mark.parametrize(
    "body",
    [
        errors(("personalizations.3.to.0.email", BAD)),
        errors(("personalizations.99999999999999.to.0.email", BAD)),
        errors(("personalizations.1.to.0.email", BAD), ("from.email", BAD)),
        errors(("personalizations.1.to", "Each email address should be unique.")),
        errors(("content", "is required")),
        errors((None, "Bad Request")),
        {"errors": []},
        {"errors": 1},
        b"x",
    ],
)
def test_what_is_not_about_addresses_alone_is_nobodys(body):
    assert read(400, body) is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, Misconfigured),
        (403, Misconfigured),
        (429, Throttled),
        (500, Transient),
        (503, Transient),
        (200, Misconfigured),
    ],
)
def test_a_failure_of_the_call_is_everybodys(status, expected):
    assert [type(outcome) for outcome in read(status)] == [expected] * 3


@pytest.mark.parametrize("status", [404, 413, 415])
def test_a_call_that_is_refused_is_not_said_to_be_anybodys_fault(status):
    assert read(status) is None
