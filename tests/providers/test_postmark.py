"""Postmark's requests beyond the one in the table, and the recipients that the text of a response names."""

import time

import msgspec
import pytest

from clarion.domain.limits_delivery import RESPONSE_BYTES_MAX
from clarion.domain.message import HttpResponse
from clarion.domain.outcome import Accepted, InvalidRecipient
from clarion.providers.email import postmark
from tests.providers import battery

TABLE = battery.tables()["email_postmark"]


def read(words, address="Ada@example.org", status=200, code=0):
    body = msgspec.json.encode({"ErrorCode": code, "MessageID": "m", "Message": words})
    sent = battery.message(TABLE, address=address)
    return postmark.read(HttpResponse(status, {}, body), sent, battery.account(TABLE), now_ms=battery.NOW_MS)


def test_only_what_there_is_goes_out():
    table = {**TABLE, "account": {**TABLE["account"], "settings": {"from_email": "news@shop.example"}}}
    request = battery.build(postmark, table, parts={"subject": "s", "text": "t"}, metadata={})
    assert msgspec.json.decode(request.body) == {
        "From": "news@shop.example",
        "To": "Ada@example.org",
        "Subject": "s",
        "TextBody": "t",
        "MessageStream": "outbound",
        "Metadata": {"delivery_id": battery.DELIVERY},
    }


@pytest.mark.parametrize("part", ["text", "html"])
def test_a_part_too_long_is_refused(monkeypatch, part):
    limit = getattr(postmark, part.upper())
    monkeypatch.setattr(postmark, part.upper(), msgspec.structs.replace(limit, most=4))
    assert battery.build(postmark, TABLE, parts={"subject": "s", part: "üü"})
    with pytest.raises(ValueError, match=f"the {part} has 5 bytes, 4 are allowed"):
        battery.build(postmark, TABLE, parts={"subject": "s", part: "üüu"})


def test_a_message_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(postmark, "MESSAGE", msgspec.structs.replace(postmark.MESSAGE, most=8))
    assert battery.build(postmark, TABLE, parts={"subject": "s", "text": "ttt", "html": "hhh"})
    with pytest.raises(ValueError, match="the text, html and attachments have 12 bytes, 8 are allowed"):
        battery.build(postmark, TABLE, parts={"subject": "s", "text": "ttt", "html": "hhhhhh"})


@pytest.mark.parametrize(
    ("address", "words", "expected"),
    [
        ("Ada@example.org", "will not deliver to these inactive addresses: ada@example.org", InvalidRecipient),
        ("Ada@example.org", "Found inactive addresses: ADA@example.org.\nInactive recipients are", InvalidRecipient),
        ("ada@bücher.example", "inactive addresses: ada@xn--bcher-kva.example.", InvalidRecipient),
        ("ada@example.org", "inactive addresses: eve.ada@example.org, ada@example.org.uk.", Accepted),
        ("ada@example.org", "OK: ada@example.org is not among the inactive", Accepted),
        ("ada@example.org", "inactive addresses: . Inactive recipients are", Accepted),
    ],
)
def test_a_recipient_is_left_out_only_by_name(address, words, expected):
    assert type(read(words, address)) is expected


def test_long_words_take_no_time():
    began_s = time.process_time()
    for words in (
        "inactive addresses: " * (RESPONSE_BYTES_MAX // 20),
        "inactive addresses:" + " " * RESPONSE_BYTES_MAX,
    ):
        assert type(read(words)) is Accepted
    assert time.process_time() - began_s < 1


@pytest.mark.parametrize("code", ["0", None, True, 0.0, [], {}])
def test_a_code_that_is_none_leaves_the_status_to_decide(code):
    assert type(read("OK", code=code)) is Accepted
    assert read("no", code=code, status=422).reason == "http_422"
