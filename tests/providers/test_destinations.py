"""Which settings decide where credentials are sent: every vendor declares all of them, so that stored credentials never
reach another address. The requests themselves are compared, and the names of the settings, which a vendor's table may
not exercise."""

import contextlib
import re
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarion.control.providers.fields import check_fields
from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.domain.message import AppriseRequest, HttpRequest, SmtpRequest
from clarion.providers import catalogue
from tests.providers import battery

VENDORS = catalogue.load()
ADDRESS_LIKE = re.compile(
    r"host|port(?!ant)|url|uri|endpoint|origin(?!ation)|server|proxy|region|domain|addr|tls|ssl|secur|callback|relay|gateway"
)
NO_DESTINATION = {
    ("apprise", "url_from_address"): "a switch; the address is then a recipient's",
    ("mailgun", "domain"): "a part of the path below base_url",
    ("sandbox", "by_address"): "a script; nothing is sent",
    ("slack", "webhook_base_url"): "compared with a recipient's address, and called without credentials",
    ("smtp", "dkim_domain"): "a name in a signature",
    ("twilio", "status_callback"): "called by Twilio, without credentials",
    ("whatsapp", "preview_url"): "a switch for previews in messages",
}
"""Settings named like an address to which no credentials are sent, each with the reason."""

SOME = {
    "url": ["https://elsewhere.test", "http://elsewhere.test:8080/a", "https://elsewhere.test:8443"],
    "host": ["elsewhere.test", "10.1.2.3"],
    "integer": [1, 465, 70_000],
    "boolean": [True, False],
    "list": [[], ["transient"]],
    "object": [{}, {"*": "transient"}],
    "string": ["elsewhere.test", "https://elsewhere.test", "@elsewhere.test", ".elsewhere.test", "a@elsewhere.test", "evil",
               "none", "tls", "starttls", "xx-other-9"],
}  # fmt: skip
"""Values to try, by the kind of a setting."""
CASES = [
    pytest.param(name, field, id=f"{name}-{field.name}")
    for name, table in battery.tables().items()
    for field in VENDORS[Channel(table["channel"]), table["vendor"]].TRAITS.settings
]


def values_of(field):
    """Return a strategy for values of a setting."""
    some = st.sampled_from(SOME[field.kind])
    if field.kind == "integer":
        return some | st.integers(field.least, field.most)
    if field.kind != "string":
        return some
    return some | (st.text() if field.pattern is None else st.from_regex(field.pattern, fullmatch=True))


def places(table, vendor, account):
    """Return the servers that an account's requests go to: for messages, for tokens and for verification."""
    makers = {
        "build": lambda do: do(battery.message(table), account, now_ms=battery.NOW_MS, token="t"),
        "token_request": lambda do: do(account, now_ms=battery.NOW_MS),
        "verify_request": lambda do: do(account, now_ms=battery.NOW_MS, token="t"),
    }
    found = set()
    for name, make in makers.items():
        if hasattr(vendor, name):
            with contextlib.suppress(ValueError):
                found.add((name, place_of(make(getattr(vendor, name)))))
    return found


def place_of(request):
    match request:
        case HttpRequest() | AppriseRequest():
            return urlsplit(request.url)[:2]
        case SmtpRequest():
            return request.host, request.port, request.security
    return None


def with_setting(table, name=None, value=None):
    """Return the table's vendor and account, with one setting changed, as they are stored."""
    account = battery.account(table)
    vendor, changes = VENDORS[account.channel, account.vendor], {} if name is None else {name: value}
    checked = check_fields(vendor.TRAITS.settings, account.settings | changes, "settings", secret=False)
    return vendor, msgspec.structs.replace(account, settings=checked)


@pytest.mark.parametrize(("name", "field"), [case for case in CASES if not case.values[1].is_destination])
@settings(suppress_health_check=[*HealthCheck], deadline=None)
@given(data=st.data())
def test_another_setting_leads_nowhere_else(name, field, data):
    table = battery.tables()[name]
    try:
        changed = with_setting(table, field.name, data.draw(values_of(field)))
    except InvalidField:
        return
    assert places(table, *changed) <= places(table, *with_setting(table))


@pytest.mark.parametrize(("name", "field"), [case for case in CASES if case.values[1].is_destination])
def test_a_destination_leads_elsewhere(name, field):
    table = battery.tables()[name]
    before = places(table, *with_setting(table))
    found = [value for value in SOME[field.kind] if field.pattern is None or re.fullmatch(field.pattern, str(value))]
    assert any(places(table, *with_setting(table, field.name, value)) != before for value in found)


def test_a_setting_named_like_an_address_is_a_destination_or_known_not_to_be():
    like = {
        (vendor, field.name): field.is_destination
        for (_, vendor), module in VENDORS.items()
        for field in module.TRAITS.settings
        if field.kind in ("url", "host") or ADDRESS_LIKE.search(field.name)
    }
    assert {place for place, is_destination in like.items() if not is_destination} == set(NO_DESTINATION)
