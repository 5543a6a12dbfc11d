"""The fields of a message for e-mail APIs: validated, and neither folded nor encoded."""

from email.utils import parseaddr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.control.providers.fields import check_fields
from clarion.domain.errors import InvalidField
from clarion.providers import envelope
from clarion.providers.email import mailgun, postmark, sendgrid
from tests.providers import battery

VENDORS = {vendor.TRAITS.vendor: vendor for vendor in (sendgrid, mailgun, postmark)}
TABLES = {name: battery.tables()[f"email_{name}"] for name in VENDORS}
PARTS = {"subject": "s", "text": "t"}


def sealed(*, settings=None, metadata=None, address="ada@example.org", **parts):
    table = {**TABLES["sendgrid"], "account": {"settings": {"from_email": "news@shop.example", **(settings or {})}}}
    message = battery.message(table, parts={**PARTS, **parts}, metadata=metadata or {}, address=address)
    return envelope.seal(message, battery.account(table))


def test_a_template_goes_before_the_account_and_a_message_before_both():
    settings = {"from_name": "Shop", "reply_to": "help@shop.example", "list_unsubscribe": "mailto:off@shop.example"}
    mail = sealed(settings=settings)
    assert (mail.sender_name, mail.reply_to) == ("Shop", "help@shop.example")
    assert mail.headers == {"List-Unsubscribe": "<mailto:off@shop.example>"}
    link = {"list_unsubscribe": "https://shop.example/u/1"}
    mail = sealed(settings=settings, metadata=link, from_name="Ada", reply_to="ada@shop.example")
    assert (mail.sender_name, mail.reply_to) == ("Ada", "ada@shop.example")
    assert mail.headers == {"List-Unsubscribe": "<https://shop.example/u/1>"}


def test_domains_go_out_in_ascii():
    mail = sealed(address="ada@bücher.example", settings={"from_email": "news@läden.example"})
    assert (mail.recipient, mail.sender) == ("ada@xn--bcher-kva.example", "news@xn--lden-loa.example")


@pytest.mark.parametrize("name", ["subject", "from_name", "reply_to"])
@pytest.mark.parametrize("end", ["\r\nBcc: eve@evil.example", "\n", "\x00", "\x85", "\u2028", "\ud83c"])
def test_a_line_stays_one_line(name, end):
    with pytest.raises(ValueError, match=f"{name} (holds a line break|is not an e-mail address)"):
        sealed(**{name: f"a@b.example{end}"})


@pytest.mark.parametrize("address", ["ada", "a@b@c", "ada@example.org, eve@evil.example", "Ada <ada@example.org>"])
def test_one_address_is_one_address(address):
    with pytest.raises(ValueError, match="address"):
        sealed(address=address)


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        ({"subject": "s" * 999}, "subject has 999 characters, 998 are"),
        ({"from_name": "n" * 201}, "from_name has 201 characters, 200 are"),
        ({"text": "", "html": ""}, "needs a text or an html part"),
    ],
)
def test_what_no_mail_can_be(parts, complaint):
    with pytest.raises(ValueError, match=complaint):
        sealed(**parts)


def test_a_link_that_is_none():
    with pytest.raises(ValueError, match="list_unsubscribe"):
        sealed(metadata={"list_unsubscribe": "https://shop.example/> <https://evil.example"})


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1).filter(str.strip))
def test_any_name_is_read_back_from_a_mailbox(name):
    assert parseaddr(envelope.mailbox(name, "news@shop.example")) == (name, "news@shop.example")


def test_without_a_name_a_mailbox_is_the_address():
    assert envelope.mailbox("", "news@shop.example") == "news@shop.example"


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("part", ["text", "html"])
def test_half_a_character_is_refused_by_name(name, part):
    with pytest.raises(ValueError, match=f"{part}.* part holds half a surrogate pair"):
        battery.build(VENDORS[name], TABLES[name], parts={**PARTS, part: "a\ud83c"})


@pytest.mark.parametrize("name", VENDORS)
def test_each_attempt_sends_the_same(name):
    first, second = (battery.build(VENDORS[name], TABLES[name], attempt=attempt) for attempt in (1, 2))
    assert first == second
    assert battery.DELIVERY.encode() in first.body


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("key", ["key\r\nx-evil: 1", "key\n", "schlüssel", "a key", ""])
def test_a_key_that_no_header_can_hold_is_refused_when_it_is_stored(name, key):
    fields = VENDORS[name].TRAITS.credentials
    with pytest.raises(InvalidField) as caught:
        check_fields(fields, {fields[0].name: key}, "credentials", secret=True)
    assert not key or key not in str(caught.value)
