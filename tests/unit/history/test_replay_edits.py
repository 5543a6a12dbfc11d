"""Addresses of an edit, channel by channel."""

import pytest

from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.history.dead_letters.edit import edit_of
from clarion.history.dead_letters.shapes import ReplayEdit

SUBSCRIPTION = '{"endpoint": "https://push.example/1", "keys": {"p256dh": "B", "auth": "A"}}'


@pytest.mark.parametrize(
    ("channel", "given", "kept"),
    [
        (Channel.EMAIL, "Ana@EXAMPLE.com", "Ana@example.com"),
        (Channel.SMS, "+1 202 555 0143", "+12025550143"),
        (Channel.WHATSAPP, "+1 202 555 0143", "+12025550143"),
        (Channel.WEBHOOK, "https://shop.example/hook", "https://shop.example/hook"),
        (Channel.PUSH, "token", "token"),
        (Channel.CHAT, "U0ADA", "U0ADA"),
        (Channel.WEBPUSH, SUBSCRIPTION, SUBSCRIPTION),
    ],
)
def test_an_address_is_stored_in_its_canonical_form(channel, given, kept):
    assert edit_of(ReplayEdit(address=given), channel, None).address == kept


@pytest.mark.parametrize(
    ("channel", "given"),
    [
        (Channel.EMAIL, "ana"),
        (Channel.EMAIL, "a@b.example\r\nBcc: c@d.example"),
        (Channel.SMS, "0202"),
        (Channel.WHATSAPP, "x"),
        (Channel.WEBHOOK, "ftp://shop.example"),
        (Channel.WEBHOOK, "https://user:secret@shop.example"),
        (Channel.PUSH, "a\nb"),
        (Channel.PUSH, ""),
        (Channel.CHAT, "x" * 10_000),
        (Channel.WEBPUSH, "token"),
        (Channel.WEBPUSH, '{"endpoint": 1}'),
        (Channel.WEBPUSH, '{"endpoint": ' + "[" * 1_900),
        (Channel.INAPP, "ana"),
    ],
)
def test_a_wrong_address_is_named(channel, given):
    with pytest.raises(InvalidField) as refused:
        edit_of(ReplayEdit(address=given), channel, None)
    assert refused.value.field == "edit.address"


def test_no_edit_changes_nothing():
    assert edit_of(None, None, None).names() == []
    assert edit_of(ReplayEdit(), None, None).names() == []
