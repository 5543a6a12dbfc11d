"""Checks of users: which are refused, for which field, and the canonical form of the rest."""

import json
from datetime import UTC, datetime

import msgspec
import pytest

from clarion.control.users.places import places
from clarion.control.users.rules import (
    DeviceBody,
    DeviceEntry,
    Known,
    Subscription,
    SubscriptionKeys,
    UserBody,
    check_device,
    check_user,
    locale,
)
from clarion.domain.errors import InvalidField
from clarion.domain.limits import ATTRIBUTES_BYTES_MAX, CONTACTS_PER_CHANNEL_MAX
from clarion.domain.quiet import QuietHours, QuietWindow
from clarion.domain.user import Device

KNOWN = Known({"marketing": False, "orders": False, "security": True}, {"news"})
KEYS = SubscriptionKeys("B" * 87, "a" * 22)


def user(**fields):
    return check_user("ana", UserBody(**fields), places(), KNOWN)


def test_a_user_is_stored_in_canonical_form():
    ana = user(
        email="Ana.B@EXAMPLE.com", phone="+1 (202) 555-0143", whatsapp="+442079460018", webhook="https://example.com/x",
        chat="C123", locale="pt_br", zone="Europe/Rome", attributes={"b": 1, "a": [1.5, None]}, topics=["news"],
        preferences={"orders": {"sms": True}, "*": {"*": False, "email": True}, "marketing": {}},
    )  # fmt: skip
    assert (ana.email, ana.phone, ana.whatsapp) == ("Ana.B@example.com", "+12025550143", "+442079460018")
    assert (ana.locale, ana.zone, ana.topics, ana.devices) == ("pt-BR", "Europe/Rome", ("news",), None)
    assert json.loads(ana.attributes) == {"b": 1, "a": [1.5, None]}
    assert ana.preferences == '{"*":{"*":false,"email":true},"orders":{"sms":true}}'


def test_absent_fields_differ_from_empty_ones():
    nothing = user()
    assert (nothing.preferences, nothing.devices, nothing.attributes, nothing.quiet_hours) == (None, None, None, None)
    assert (nothing.more_contacts, nothing.last_seen_ms) == (None, None)
    stated = user(preferences={}, devices=[], quiet_hours=QuietHours(), contacts={"email": []})
    assert (stated.preferences, stated.devices, stated.quiet_hours, stated.more_contacts) == ("{}", (), "{}", None)


def test_further_contacts_are_canonical_and_unique():
    ana = user(contacts={"sms": ["+1 202 555 0143", "+12025550143"], "email": ["B@EXAMPLE.com"]})
    assert ana.more_contacts == '{"email":["B@example.com"],"sms":["+12025550143"]}'
    assert user(last_seen_at=datetime(2026, 1, 1, tzinfo=UTC)).last_seen_ms == 1_767_225_600_000


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"email": "ana"}, "email"),
        ({"email": "ana@"}, "email"),
        ({"email": "a b@example.com"}, "email"),
        ({"email": "ana@example.com\nBcc: eve@example.com"}, "email"),
        ({"email": f"{'a' * 65}@example.com"}, "email"),
        ({"email": f"a@{'b' * 250}.com"}, "email"),
        ({"phone": "2025550143"}, "phone"),
        ({"phone": "+1555"}, "phone"),
        ({"phone": "+999123456"}, "phone"),
        ({"phone": "+12025550143 ext. 5"}, "phone"),
        ({"whatsapp": "ana"}, "whatsapp"),
        ({"chat": "C1\u2028C2"}, "chat"),
        ({"webhook": "ftp://example.com"}, "webhook"),
        ({"webhook": "https://user:pass@example.com/"}, "webhook"),
        ({"webhook": "https://"}, "webhook"),
        ({"webhook": "https://example.com:port/"}, "webhook"),
        ({"webhook": "https://example.com/\r\nX: y"}, "webhook"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"zone": "../etc/passwd"}, "zone"),
        ({"locale": "klingon"}, "locale"),
        ({"locale": "en-GB-oxendict"}, "locale"),
        ({"topics": ["nowhere"]}, "topics"),
        ({"preferences": {"spam": {"email": False}}}, "preferences.spam"),
        ({"preferences": {"orders": {"pigeon": False}}}, "preferences.orders.pigeon"),
        ({"preferences": {"security": {"sms": False}}}, "preferences.security.sms"),
        ({"quiet_hours": QuietHours((QuietWindow("22:00", "24:00"),))}, "quiet_hours.windows[0].end"),
        ({"contacts": {"email": ["a@example.com", "b"]}}, "contacts.email[1]"),
        ({"contacts": {"sms": ["12"]}}, "contacts.sms[0]"),
        ({"contacts": {"webhook": ["ftp://example.com"]}}, "contacts.webhook[0]"),
        ({"contacts": {"chat": ["C1\nC2"]}}, "contacts.chat[0]"),
        ({"last_seen_at": datetime(1969, 12, 31, tzinfo=UTC)}, "last_seen_at"),
        ({"attributes": {"x": "y" * ATTRIBUTES_BYTES_MAX}}, "attributes"),
        ({"devices": [DeviceEntry("push", id="d")]}, "devices[0].token"),
        ({"devices": [DeviceEntry("push", "t", id="d"), DeviceEntry("push", "t\0", id="e")]}, "devices[1].token"),
        ({"devices": [DeviceEntry("push", "t", id="d"), DeviceEntry("push", "u", id="d")]}, "devices"),
    ],
)
def test_each_fault_is_named(fields, field):
    with pytest.raises(InvalidField) as refused:
        user(**fields)
    assert refused.value.field == field
    assert refused.value.detail


@pytest.mark.parametrize("user_id", ["", " a", "a ", "a\nb", "a\x7fb", "a\u2029b", "x" * 129, "\ud800"])
def test_ids_are_one_short_line(user_id):
    with pytest.raises(InvalidField) as refused:
        check_user(user_id, UserBody(), places(), KNOWN)
    assert refused.value.field == "id"


@pytest.mark.parametrize("user_id", ["1", "auth0|5f7c", "ana@example.com", "\u00fcber user", "x" * 128])
def test_tenants_choose_their_own_ids(user_id):
    assert check_user(user_id, UserBody(), places(), KNOWN).user_id == user_id


@pytest.mark.parametrize(
    ("text", "stored"),
    [("EN", "en"), ("en-es", "en-ES"), ("es-419", "es-419"), ("zh_hant_tw", "zh-Hant-TW"), ("sr-LATN", "sr-Latn")],
)
def test_locales_are_written_one_way(text, stored):
    assert locale(text, places().languages, places().territories) == stored


def test_a_web_push_subscription_becomes_its_token():
    body = DeviceBody("webpush", subscription=Subscription("https://push.example.com/1", KEYS))
    device = check_device("browser", body)
    assert (device.device_id, device.kind) == ("browser", "webpush")
    assert json.loads(device.token) == {
        "endpoint": "https://push.example.com/1",
        "keys": {"p256dh": KEYS.p256dh, "auth": KEYS.auth},
    }
    assert check_device("phone", DeviceBody("push", "t")) == Device("phone", "push", "t")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (DeviceBody("webpush", "t"), "subscription"),
        (DeviceBody("webpush", subscription=Subscription("javascript:alert(1)", KEYS)), "subscription.endpoint"),
        (DeviceBody("push", subscription=Subscription("https://push.example.com/1", KEYS)), "token"),
    ],
)
def test_a_device_brings_what_its_channel_needs(body, field):
    with pytest.raises(InvalidField) as refused:
        check_device("d", body)
    assert refused.value.field == field


@pytest.mark.parametrize(
    "text",
    [
        '{"contacts": {"push": ["t"]}}',
        '{"quiet_hours": {"channels": ["fax"]}}',
        msgspec.json.encode({"contacts": {"email": ["a@example.com"] * (CONTACTS_PER_CHANNEL_MAX + 1)}}).decode(),
        '{"preferences": {"*": {"*": {"allowed": true}}}}',
        '{"id": 1}',
        '{"emial": "x"}',
        '{"topics": "news"}',
        '{"preferences": {"*": true}}',
    ],
)
def test_types_and_names_of_fields_are_the_declared_ones(text):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=UserBody)
