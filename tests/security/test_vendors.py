"""Vendors with hostile settings and servers, for features of single vendors: tokens, scripts, a place in a path,
settings that are refused when they are stored. Rules for all vendors are in `test_all_vendors.py`."""

import json
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.deliver.rules.retry import RetryPolicy, Turn, after
from clarion.deliver.rules.sanitize import sanitized
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.message import HttpResponse, Message
from clarion.domain.trail import Trail
from clarion.ports.vendor import Token
from clarion.providers import catalogue
from tests.made_once import rsa_pem
from tests.security.api import WEBHOOK_SECRET

VENDORS = catalogue.load()
NOW_MS = 1_700_000_000_000
PEM = rsa_pem()
SETTINGS = {
    "fcm": {"project_id": "shop"},
    "smtp": {"host": "mail.example.com", "from_email": "shop@example.com"},
}
CREDENTIALS = {
    "fcm": {"client_email": "a@b.example", "private_key": PEM},
    "webhook": {"secret": WEBHOOK_SECRET},
}
BREAKS = ["\r\n", "\n", "\r", "\x00", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
TEXT = st.text(max_size=30) | st.sampled_from([f"a{line}Bcc: b@c.example" for line in BREAKS])


def account(vendor, channel, **changes) -> Account:
    values = SETTINGS.get(vendor, {}) | changes
    return Account("acme", "main", channel, vendor, 0, values, CREDENTIALS.get(vendor, {}))


def message(channel, parts, address="a@b.example", metadata=None) -> Message:
    target = "https://hooks.example.com/x" if channel is Channel.WEBHOOK else address
    return Message("dlv_1", "ntf_1", "acme", channel, "ada", target, parts, 1, NOW_MS, "", None, metadata or {})


ANSWERS = st.builds(
    HttpResponse,
    st.integers(100, 599),
    st.dictionaries(
        st.just("retry-after"), TEXT | st.integers().map(str) | st.sampled_from(["Fri, 31 Dec 9999 23:59:59 GMT"])
    ),
    st.binary(max_size=60)
    | ANYTHING.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries({"error": ANYTHING}).map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {"error": st.fixed_dictionaries({"status": TEXT, "details": ANYTHING, "message": ANYTHING})}
    ).map(lambda value: json.dumps(value).encode())
    | st.just(b"[" * 100_000),
)


def holds(outcome) -> None:
    outcome = sanitized(outcome, [])
    following = after(outcome, Trail(), RetryPolicy((1_000, 60_000), 86_400_000, 6), Turn(NOW_MS, 0.5, "main"))
    assert following.retry_ms is None or type(following.retry_ms) is int
    assert following.retry_ms is None or following.retry_ms < 1 << 62
    msgspec.msgpack.encode(outcome)


@given(ANSWERS)
def test_any_answer_of_a_token_endpoint_is_a_token_or_an_outcome(response):
    fcm = VENDORS[Channel.PUSH, "fcm"]
    found = fcm.read_token(response)
    if not isinstance(found, Token):
        holds(found)


STEP = st.sampled_from(["accepted", "throttled", "transient", "refused", "nope", "", None, 1]) | ANYTHING
SCRIPTED = st.fixed_dictionaries(
    {"outcome": STEP}, optional={"after_ms": ANYTHING, "detail": ANYTHING, "reason": ANYTHING}
)


@given(
    st.lists(STEP | SCRIPTED, max_size=3),
    st.dictionaries(
        st.sampled_from(["*", "[", "[!]", "*" * 50, "a@b.example"]), STEP | SCRIPTED | st.lists(SCRIPTED, max_size=2)
    ),
)
def test_any_sandbox_script_is_an_outcome_or_refused(by_attempt, by_address):
    sandbox = VENDORS[Channel.SMS, "sandbox"]
    owner = account("sandbox", Channel.SMS, by_attempt=by_attempt, by_address=by_address)
    given_message = message(Channel.SMS, {"body": "b"})
    try:
        request = sandbox.build(given_message, owner, now_ms=NOW_MS, token=None)
    except ValueError:
        return
    holds(sandbox.read(request, given_message, owner, now_ms=NOW_MS))


@pytest.mark.parametrize("project", ["../../v2", "a/b", "a?b", "a#b", "a@b", "a\r\nb", "A", "é", "a" * 64, ""])
def test_a_project_id_cannot_leave_its_place_in_the_url(project):
    fcm = VENDORS[Channel.PUSH, "fcm"]
    request = fcm.build(
        message(Channel.PUSH, {"title": "t"}),
        account("fcm", Channel.PUSH, project_id=project),
        now_ms=NOW_MS,
        token="t",
    )
    parts = urlsplit(request.url)
    assert parts.netloc == "fcm.googleapis.com"
    assert parts.path.count("/") == 4
    assert not parts.query
    assert not parts.fragment


ODD_SETTINGS = [{"project_id": "../x"}, {"project_id": "shop\n"}, {"project_id": "shop", "base_url": "file:///etc"},
     {"project_id": "shop", "base_url": "https://a:b@c"}, {"project_id": "shop", "base_url": "https://a\r\nb"},
     {"project_id": "shop", "token_url": "gopher://a"}, {"project_id": "shop", "base_url": "https://a.example/#"},
     {"project_id": "shop", "base_url": "https://a.example?a=b"}, {"project_id": "shop", "android_priority": "HIGH\n"}]  # fmt: skip


async def test_odd_settings_are_refused_when_they_are_stored(api):
    for settings_ in ODD_SETTINGS:
        body = {"channel": "push", "vendor": "fcm", "settings": settings_, "credentials": CREDENTIALS["fcm"]}
        assert (await api.call("PUT", "/v1/providers/new", body)).status == 422, settings_


ODD_MAIL_SETTINGS = [{"host": "a b"}, {"host": "a\r\nb"}, {"host": "mail/x"}, {"host": "mail@evil"}, {"port": 0}, {"port": 65_536}, {"port": True},
     {"port": "25"}, {"port": 25.5}, {"security": "none\n"}, {"from_email": "a@b\n"}, {"from_email": "a b@c"}, {"reply_to": "a@b\r"},
     {"list_unsubscribe": "https://a\u2028b"}, {"from_name": "a\x00b"}]  # fmt: skip


async def test_odd_mail_settings_are_refused_when_they_are_stored(api):
    for settings_ in ODD_MAIL_SETTINGS:
        body = {"channel": "email", "vendor": "smtp", "settings": SETTINGS["smtp"] | settings_}
        assert (await api.call("PUT", "/v1/providers/new", body)).status == 422, settings_


async def test_patterns_of_vendors_are_fast_on_hostile_text():
    """No pattern backtracks: ten thousand characters are matched at once."""
    import re
    import time

    hostile = [
        "a" * 10_000,
        "a@" * 5_000,
        "a." * 5_000 + "!",
        "whsec_" + "A" * 10_000 + "!",
        "=" * 10_000,
        "-" * 10_000,
        "\n" * 10_000,
    ]
    patterns = [f.pattern for v in VENDORS.values() for f in (*v.TRAITS.settings, *v.TRAITS.credentials) if f.pattern]
    for pattern in {*patterns}:
        for text in hostile:
            began = time.thread_time()
            re.fullmatch(pattern, text)
            assert time.thread_time() - began < 0.05, (pattern, text[:20])
