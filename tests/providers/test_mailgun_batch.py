"""Mailgun's recipient variables: no recipient sees another's address, and Mailgun fills in the values of each recipient."""

import json
from urllib.parse import parse_qsl

import msgspec
import pytest

from clarion.domain.attachment import Attachment
from clarion.domain.outcome import Accepted, Ambiguous, Misconfigured, Throttled, Transient
from clarion.providers.email import mailgun
from tests.providers import batch, battery

TABLE = battery.tables()["email_mailgun"]


def read(status, body=b"", count=2, **headers):
    return batch.read(mailgun, TABLE, count, status, body, headers)


def form(request):
    return dict(parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True))


def filled(text, variables):
    """Return a field with the values that Mailgun fills in for one recipient."""
    for name, value in variables.items():
        text = text.replace(f"%recipient.{name}%", value)
    return text


def test_each_recipient_gets_what_would_have_gone_alone():
    sent = batch.messages(TABLE, "ada@example.org", "eve@bücher.example")
    request = batch.build(mailgun, TABLE, sent)
    alone = [mailgun.build(one, battery.account(TABLE), now_ms=battery.NOW_MS, token=None) for one in sent]
    assert (request.method, request.url, request.headers) == (alone[0].method, alone[0].url, alone[0].headers)
    fields = form(request)
    variables = json.loads(fields.pop("recipient-variables"))
    assert fields.pop("to") == "ada@example.org, eve@xn--bcher-kva.example"
    assert list(variables) == ["ada@example.org", "eve@xn--bcher-kva.example"]
    for address, own in variables.items():
        expected = next(form(one) for one in alone if form(one)["to"] == address)
        assert {name: filled(text, own) for name, text in fields.items()} | {"to": address} == expected
    assert fields["v:delivery_id"] == "%recipient.f0%"
    assert fields["h:List-Unsubscribe"] == "%recipient.f1%"
    assert variables["ada@example.org"] == {"f0": batch.delivery(0), "f1": "<https://shop.example/u/0>"}


def test_there_are_variables_even_when_nothing_but_the_id_differs():
    sent = batch.messages(TABLE, "a@example.org", "b@example.org", metadata={})
    fields = form(batch.build(mailgun, TABLE, sent, list_unsubscribe=""))
    assert json.loads(fields["recipient-variables"]) == {
        "a@example.org": {"f0": batch.delivery(0)},
        "b@example.org": {"f0": batch.delivery(1)},
    }


@pytest.mark.parametrize(
    "text",
    [
        "%recipient.f0%",
        "%recipient%",
        "%recipient_email%",
        "100 %unsubscribe_url%",
        "%Recipient.F0%",
        "%%recipient.a-b%%",
    ],
)
@pytest.mark.parametrize("part", ["subject", "text", "html", "from_name"])
def test_what_mailgun_would_fill_in_goes_alone(text, part):
    parts = {"subject": "s", "text": "t", part: text}
    (one,) = batch.messages(TABLE, "a@example.org", parts=parts)
    assert mailgun.batch_key(one, battery.account(TABLE)) is None


def test_a_percent_sign_is_no_variable():
    (one,) = batch.messages(TABLE, "a@example.org", parts={"subject": "50% off, 100% sure", "text": "5 %, 10 %"})
    assert mailgun.batch_key(one, battery.account(TABLE)) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "nobody"},
        {"address": "Ada@example.org"},
        {"address": "%recipient.f0%@example.org"},
        {"parts": {"subject": "s", "text": "t", "reply_to": "%recipient.f0%@example.org"}},
        {"metadata": {"list_unsubscribe": "https://shop.example/%recipient%"}},
        {"attachments": (Attachment("a.txt", content=b"x"),)},
    ],
)
def test_what_cannot_be_shared_goes_alone(changes):
    (one,) = batch.messages(TABLE, "a@example.org")
    assert mailgun.batch_key(msgspec.structs.replace(one, **changes), battery.account(TABLE)) is None


def test_what_differs_in_more_than_the_recipient_does_not_share_a_call():
    owner = batch.account(TABLE, list_unsubscribe="")
    (one,) = batch.messages(TABLE, "a@example.org")
    for changes in (
        {"metadata": {}},
        {"parts": one.parts | {"subject": "Another"}},
        {"parts": one.parts | {"reply_to": "x@y"}},
    ):
        assert mailgun.batch_key(one, owner) != mailgun.batch_key(msgspec.structs.replace(one, **changes), owner)


def test_an_address_is_in_a_call_once():
    sent = batch.messages(TABLE, "a@xn--bcher-kva.example", "a@bücher.example")
    with pytest.raises(ValueError, match="twice"):
        batch.build(mailgun, TABLE, sent)


def test_an_accepted_call_is_accepted_for_all():
    assert read(200, {"id": "<1@mg.example>", "message": "Queued. Thank you."}) == [Accepted("1@mg.example")] * 2


@pytest.mark.parametrize(
    "body", [{"message": "'to' parameter is not a valid address. please check documentation"}, {"message": "no"}, b""]
)
def test_a_refusal_names_nobody(body):
    assert read(400, body) is None


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, b"Forbidden", Misconfigured),
        (404, b"", Misconfigured),
        (429, {"message": "limit exceeded, try again after 2 seconds"}, Throttled),
        (500, b"", Transient),
        (200, {}, Ambiguous),
    ],
)
def test_a_failure_of_the_call_is_everybodys(status, body, expected):
    assert [type(outcome) for outcome in read(status, body)] == [expected, expected]
