"""SendGrid's requests beyond the one in the table."""

import msgspec
import pytest

from clarion.domain.message import HttpResponse
from clarion.domain.outcome import InvalidRecipient, Refused
from clarion.providers.email import sendgrid
from tests.providers import battery

TABLE = battery.tables()["email_sendgrid"]


def body(**changes):
    return msgspec.json.decode(battery.build(sendgrid, TABLE, **changes).body)


def test_only_what_there_is_goes_out():
    table = {**TABLE, "account": {**TABLE["account"], "settings": {"from_email": "news@shop.example"}}}
    request = battery.build(sendgrid, table, parts={"subject": "s", "html": "<p>h</p>"}, metadata={})
    assert msgspec.json.decode(request.body) == {
        "personalizations": [{"to": [{"email": "ada@example.org"}]}],
        "from": {"email": "news@shop.example"},
        "subject": "s",
        "content": [{"type": "text/html", "value": "<p>h</p>"}],
        "custom_args": {"delivery_id": battery.DELIVERY},
    }


def test_text_comes_before_html():
    content = body(parts={"subject": "s", "html": "<p>h</p>", "text": "t"})["content"]
    assert [part["type"] for part in content] == ["text/plain", "text/html"]


def test_the_eu_is_another_origin():
    settings = {**TABLE["account"]["settings"], "base_url": "https://api.eu.sendgrid.com"}
    table = {**TABLE, "account": {**TABLE["account"], "settings": settings}}
    assert battery.build(sendgrid, table).url == "https://api.eu.sendgrid.com/v3/mail/send"


def test_an_empty_subject_is_refused():
    with pytest.raises(ValueError, match="without a subject"):
        body(parts={"subject": "", "text": "t"})


def test_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(sendgrid, "MESSAGE", msgspec.structs.replace(sendgrid.MESSAGE, most=5))
    assert body(parts={"subject": "s", "text": "üü", "html": "h"})
    with pytest.raises(ValueError, match="have 6 bytes, 5 are allowed"):
        body(parts={"subject": "s", "text": "üü", "html": "hh"})


@pytest.mark.parametrize(
    ("field", "message", "expected"),
    [
        ("personalizations.0.to.0.email", "Does not contain a valid address.", InvalidRecipient),
        ("personalizations[0].to[0].email", "must be a valid email address", InvalidRecipient),
        ("personalizations.0.to.0.email", "exceeds the maximum total length of 320 characters", InvalidRecipient),
        ("personalizations.0.to.0.name", "Does not contain a valid address.", Refused),
        ("personalizations.0.from.email", "Does not contain a valid address.", Refused),
        ("personalizations.0.custom_args.to.email", "must be a string", Refused),
        ("reply_to.email", "Does not contain a valid address.", Refused),
        ("personalizations.0.to.0.email", "You have included ada@example.org more than once.", Refused),
        (None, "personalizations.0.to.0.email Does not contain a valid address.", Refused),
    ],
)
def test_an_address_dies_only_of_what_is_said_about_it(field, message, expected):
    errors = msgspec.json.encode({"errors": [{"field": field, "message": message}]})
    sent, owner = battery.message(TABLE), battery.account(TABLE)
    outcome = sendgrid.read(HttpResponse(400, {}, errors), sent, owner, now_ms=battery.NOW_MS)
    assert type(outcome) is expected
