"""One click to unsubscribe, in the headers of every vendor that sends e-mail."""

import json
from email import message_from_bytes
from urllib.parse import parse_qs

import msgspec
import pytest

from clarion.providers.email import mailgun, postmark, sendgrid, ses, smtp
from tests.providers import battery

URL = "https://notify.example.com/v1/unsubscribe/AbC-_1"
ONE_CLICK = {"List-Unsubscribe": f"<{URL}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
VENDORS = {"ses": ses, "sendgrid": sendgrid, "mailgun": mailgun, "postmark": postmark, "smtp": smtp, "smtp_dkim": smtp}


def listed(pairs):
    return {pair["Name"]: pair["Value"] for pair in pairs or ()}


HEADERS = {
    "ses": lambda request: listed(json.loads(request.body)["Content"]["Simple"].get("Headers")),
    "sendgrid": lambda request: json.loads(request.body).get("headers", {}),
    "mailgun": lambda request: {
        name[2:]: values[0]
        for name, values in parse_qs(request.body.decode()).items()
        if name.startswith("h:List-Unsubscribe")
    },
    "postmark": lambda request: listed(json.loads(request.body).get("Headers")),
    "smtp": lambda request: {
        name: value.replace("\r\n", "")
        for name, value in message_from_bytes(request.payload).items()
        if name.startswith("List-Unsubscribe")
    },
}
HEADERS["smtp_dkim"] = HEADERS["smtp"]


def built(name, url=URL, *, settings=None, metadata=None):
    table = battery.tables()[f"email_{name}"]
    account = battery.account(table)
    account = msgspec.structs.replace(account, settings={**account.settings, **(settings or {})})
    message = msgspec.structs.replace(battery.message(table, metadata=metadata or {}), unsubscribe_url=url)
    return VENDORS[name].build(message, account, now_ms=message.created_ms, token=None)


def headers(name, *values, **more):
    return HEADERS[name](built(name, *values, **more))


@pytest.mark.parametrize("name", VENDORS)
def test_every_vendor_offers_one_click(name):
    assert headers(name) == ONE_CLICK
    assert headers(name, "") == {}


@pytest.mark.parametrize("name", VENDORS)
def test_a_link_of_the_message_wins_and_promises_nothing(name):
    for link in ("https://shop.example/u/1", "mailto:off@shop.example"):
        own = {"list_unsubscribe": link}
        assert headers(name, metadata=own) == {"List-Unsubscribe": f"<{link}>"}
        assert headers(name, metadata=own, settings={"list_unsubscribe": "https://shop.example/all"}) == {
            "List-Unsubscribe": f"<{link}>"
        }


@pytest.mark.parametrize("name", VENDORS)
def test_a_page_of_the_account_wins_and_its_mailbox_stands_behind(name):
    page, mailbox = {"list_unsubscribe": "https://shop.example/u"}, {"list_unsubscribe": "mailto:off@shop.example"}
    assert headers(name, settings=page) == {"List-Unsubscribe": "<https://shop.example/u>"}
    both = f"<{URL}>, <mailto:off@shop.example>"
    assert headers(name, settings=mailbox) == ONE_CLICK | {"List-Unsubscribe": both}
    assert headers(name, "", settings=mailbox) == {"List-Unsubscribe": "<mailto:off@shop.example>"}


def test_a_mailbox_that_would_make_the_header_too_long_is_left_out():
    long = {"list_unsubscribe": "mailto:off@shop.example?subject=" + "x" * 800}
    url = URL + "y" * 300
    assert headers("ses", url, settings=long) == ONE_CLICK | {"List-Unsubscribe": f"<{url}>"}


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("url", ["http://notify.example.com/u", f"{URL}>\r\nBcc: eve@evil.example", f"{URL}\u2028"])
def test_no_link_brings_a_header_of_its_own(name, url):
    with pytest.raises(ValueError, match="list_unsubscribe"):
        built(name, url)


def test_both_headers_are_signed():
    signed = message_from_bytes(built("smtp_dkim").payload)["DKIM-Signature"].replace("\r\n", "").replace(" ", "")
    fields = signed.partition("h=")[2].partition(";")[0].split(":")
    assert {"list-unsubscribe", "list-unsubscribe-post"} <= set(fields)


def test_sendgrid_does_not_put_its_own_link_there():
    assert json.loads(built("sendgrid").body)["tracking_settings"] == {"subscription_tracking": {"enable": False}}


@pytest.mark.parametrize("name", ["smtp", "smtp_dkim"])
def test_every_attempt_sends_the_same_bytes(name):
    table = battery.tables()[f"email_{name}"]
    first = msgspec.structs.replace(battery.message(table), unsubscribe_url=URL)
    later = msgspec.structs.replace(first, attempt=7)
    requests = [
        smtp.build(message, battery.account(table), now_ms=at_ms, token=None)
        for message, at_ms in ((first, first.created_ms), (later, first.created_ms + 86_400_000))
    ]
    if name == "smtp":
        assert requests[0] == requests[1]
    mails = [message_from_bytes(request.payload) for request in requests]
    assert (
        mails[0]["Message-ID"]
        == mails[1]["Message-ID"]
        == f"<{first.delivery_id}@{mails[0]['Message-ID'].rpartition('@')[2]}"
    )
