"""Checks of templates, categories, provider settings, suppressions, tenants and scopes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.control.categories.rules import check_defaults
from clarion.control.providers.fields import check_fields
from clarion.control.templates.rules import check_content
from clarion.control.tenants.rules import check_tenant
from clarion.domain.address import contact
from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.content import PARTS, REQUIRED_PARTS
from clarion.domain.errors import InvalidField
from clarion.domain.limits import KEY_TTL_MS_MAX, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX
from clarion.identity.rules.keys import check_expiry
from clarion.identity.rules.scopes import check_scopes
from clarion.ports.vendor import Field
from clarion.resources.pages import page_of, page_reply

FIELDS = (
    Field("host", required=True),
    Field("base_url", kind="url"),
    Field("port", kind="integer", default=25, least=1, most=65_535),
    Field("tls", kind="boolean"),
    Field("region", pattern="eu|us"),
    Field("extra", kind="object"),
    Field("tags", kind="list"),
)


def test_every_channel_declares_its_parts():
    assert PARTS.keys() == REQUIRED_PARTS.keys() == set(CHANNELS)
    for channel, groups in REQUIRED_PARTS.items():
        assert {name for group in groups for name in group} <= PARTS[channel].keys()


def test_only_html_is_html():
    assert {part for parts in PARTS.values() for part, declared in parts.items() if declared.html} == {"html", "mjml"}


def test_content_is_stored_as_written():
    content = check_content({"email": {"subject": "s", "html": "<p>", "text": "t"}, "push": {"data": {"a": ["b"]}}})
    assert content == {
        Channel.EMAIL: {"subject": "s", "html": "<p>", "text": "t"},
        Channel.PUSH: {"data": {"a": ["b"]}},
    }


@pytest.mark.parametrize(
    ("channels", "field"),
    [
        ({}, "channels"),
        ({"pigeon": {"body": "coo"}}, "channels.pigeon"),
        ({"sms": {}}, "channels.sms"),
        ({"email": {"subject": "s"}}, "channels.email"),
        ({"email": {"text": "t"}}, "channels.email"),
        ({"email": {"subject": "s\r\nBcc: eve@example.com", "text": "t"}}, "channels.email.subject"),
        ({"email": {"subject": "s" * 999, "text": "t"}}, "channels.email.subject"),
        ({"email": {"subject": "a\u2028b", "text": "t"}}, "channels.email.subject"),
        ({"sms": {"body": 7}}, "channels.sms.body"),
        ({"sms": {"body": ["a"]}}, "channels.sms.body"),
        ({"sms": {"body": "b", "subject": "s"}}, "channels.sms.subject"),
        ({"push": {"data": 7}}, "channels.push.data"),
    ],
)
def test_a_template_has_the_shape_of_its_channels(channels, field):
    with pytest.raises(InvalidField) as refused:
        check_content(channels)
    assert refused.value.field == field


def test_a_critical_category_is_on_by_default():
    assert check_defaults({"*": False, "email": True}, critical=False) == {"*": False, "email": True}
    assert check_defaults({"email": True}, critical=True) == {"email": True}
    for defaults, critical, field in (({"sms": False}, True, "defaults"), ({"fax": True}, False, "defaults.fax")):
        with pytest.raises(InvalidField) as refused:
            check_defaults(defaults, critical=critical)
        assert refused.value.field == field


def test_settings_are_stored_with_their_defaults():
    given_ = {
        "host": "mx",
        "base_url": "https://x.example",
        "tls": False,
        "region": "eu",
        "extra": {"a": 1},
        "tags": [],
    }
    assert check_fields(FIELDS, given_, "settings", secret=False) == given_ | {"port": 25}
    assert check_fields(FIELDS, {"host": "mx", "tls": None}, "settings", secret=False) == {"host": "mx", "port": 25}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "host"),
        ({"host": ""}, "host"),
        ({"host": None}, "host"),
        ({"host": 7}, "host"),
        ({"host": "a\nb"}, "host"),
        ({"host": "mx", "hots": "mx"}, "hots"),
        ({"host": "mx", "base_url": "mx"}, "base_url"),
        ({"host": "mx", "port": "25"}, "port"),
        ({"host": "mx", "port": True}, "port"),
        ({"host": "mx", "port": 0}, "port"),
        ({"host": "mx", "port": 2**70}, "port"),
        ({"host": "mx", "tls": 1}, "tls"),
        ({"host": "mx", "region": "euro"}, "region"),
        ({"host": "mx", "extra": []}, "extra"),
        ({"host": "mx", "tags": {}}, "tags"),
    ],
)
def test_settings_match_the_vendors_declaration(values, field):
    with pytest.raises(InvalidField) as refused:
        check_fields(FIELDS, values, "settings", secret=False)
    assert refused.value.field == f"settings.{field}"


def test_a_secret_may_have_lines_and_is_not_repeated_in_its_refusal():
    declared = (Field("key", pattern=r"whsec_[a-z]+"), Field("pem"))
    assert check_fields(declared, {"pem": "a\nb\n"}, "credentials", secret=True) == {"pem": "a\nb\n"}
    for values in ({"key": "hunter2"}, {"pem": "hunter2\0"}, {"key": ["hunter2"]}):
        with pytest.raises(InvalidField) as refused:
            check_fields(declared, values, "credentials", secret=True)
        assert "hunter2" not in f"{refused.value.detail} {refused.value.field}"


@pytest.mark.parametrize(
    ("channel", "text", "stored"),
    [
        ("email", "Ana@EXAMPLE.com", "Ana@example.com"),
        ("sms", "+1 202 555 0143", "+12025550143"),
        ("webhook", "https://example.com/h", "https://example.com/h"),
        ("inapp", "ana|1", "ana|1"),
        ("push", "token:1", "token:1"),
    ],
)
def test_suppressed_addresses_have_the_form_of_those_of_users(channel, text, stored):
    assert contact(Channel(channel), text, "address") == stored


@pytest.mark.parametrize("channel", list(CHANNELS))
def test_no_suppressed_address_has_two_lines(channel):
    with pytest.raises(InvalidField):
        contact(channel, "a@example.com\nb", "address")


@pytest.mark.parametrize("scopes", [[], ["operator"], ["inbox"], ["users:write", "users"], ["*"] * 33])
def test_a_tenants_key_holds_a_tenants_scopes(scopes):
    with pytest.raises(InvalidField):
        check_scopes(scopes)
    assert check_scopes(["users:write", "*", "users:write"]) == ("*", "users:write")


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a_b", "a" * 64, "a\n", "\u00fc", "a/b"])
def test_tenant_ids_fit_in_a_host_name(text):
    with pytest.raises(InvalidField):
        check_tenant(text)
    assert check_tenant("a" * 63) and check_tenant("a") and check_tenant("a-1")


def test_a_key_expires_in_the_bounded_future():
    assert check_expiry(None, 1000) is None
    assert check_expiry(1001, 1000) == 1001
    for expires_ms in (1000, -1, 1001 + KEY_TTL_MS_MAX):
        with pytest.raises(InvalidField):
            check_expiry(expires_ms, 1000)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=3))
def test_a_cursor_leads_back_to_its_key(key):
    reply = page_reply(["first", "second"], 1, lambda _item: key, str)
    assert reply.body["data"] == ["first"]
    assert page_of({"after": reply.body["next"]}, keys=len(key)) == (key, PAGE_ITEMS_DEFAULT)
    assert page_reply(["first"], 1, lambda _item: key, str).body["next"] is None


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "x"}, {"limit": "201"}, {"after": "?"}, {"after": "e30"}])
def test_an_odd_page_is_refused(query):
    assert PAGE_ITEMS_MAX == 200
    with pytest.raises(InvalidField) as refused:
        page_of(query)
    assert refused.value.field == next(iter(query))
