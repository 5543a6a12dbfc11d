"""Every HTTP vendor against its simulator: accepted accounts, the vendor's response to each fault, unknown accounts."""

import hashlib
import json
import time

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import EgressError
from clarion.domain.message import Message
from clarion.domain.outcome import (
    Accepted,
    Ambiguous,
    InvalidRecipient,
    Misconfigured,
    Refused,
    Throttled,
    Transient,
)
from clarion.outbound.net.http import GuardedHttp
from clarion.providers import catalogue
from clarion_lab.simulate.accounts import Others, accounts
from clarion_lab.simulate.config import Faults
from clarion_lab.simulate.faults import Answer, Chooser
from clarion_lab.simulate.hpack import Decoder, HpackError, literals
from clarion_lab.simulate.http2 import Request
from clarion_lab.simulate.receipts import Receipts
from clarion_lab.simulate.vendors.script import Secrets
from clarion_lab.simulate.vendors.stage import SCRIPTS, Stage

pytestmark = pytest.mark.slow

VENDORS = catalogue.load()
NAMES = [played.name or played.vendor for played in SCRIPTS]
PARTS = {
    "email": {"subject": "Grüße", "text": "Hello & = ü", "html": "<p>Hello</p>"},
    "sms": {"body": "Code & = ü 1"},
    "push": {"title": "Hello", "body": "ü"},
    "webpush": {"title": "Hello", "body": "ü"},
    "whatsapp": {"body": "Hello ü"},
    "chat": {"text": "Hello <ü>"},
}
NO_ID = {"slack-webhook"}
UNNAMED = {"twilio", "termii", "sns", "slack-webhook"}
"""Vendors whose calls carry no delivery id."""
AFTER_5XX = dict.fromkeys(("twilio", "vonage", "termii", "sns", "whatsapp", "slack"), Ambiguous)
DEAD = {"ses": Refused}
"""SES accepts mail for mailboxes that do not exist; a refusal is about the message."""
WRONG = {
    "sendgrid": {"api_key": "SG.canary"},
    "mailgun": {"api_key": "key-canary"},
    "postmark": {"server_token": "canary"},
    "twilio": {"secret": "canary"},
    "vonage": {"signature_secret": "canary"},
    "termii": {"api_key": "TLcanary"},
    "ses": {"secret_access_key": "canary"},
    "sns": {"secret_access_key": "canary"},
    "whatsapp": {"access_token": "canary"},
    "slack": {"bot_token": "xoxb-canary"},
}


ORIGIN = "https://127.0.0.1:1"


def account_entries(secrets):
    """Return the contents of the file of accounts."""
    others = Others(
        {"project_id": "p", "client_email": "c", "private_key": "k", "private_key_id": "i"}, f"{ORIGIN}/token",
        "whsec_x", f"{ORIGIN}/webhook", "127.0.0.1", 25,
    )  # fmt: skip
    return json.loads(accounts(secrets, ORIGIN, others))


def now_ms():
    return time.time_ns() // 1_000_000


class Sender:
    """A sender through any vendor to a running simulator."""

    def __init__(self, sim, http):
        self.entries = json.loads(sim.where.providers_file.read_bytes())
        self._http = http

    def account(self, name):
        provider = self.entries[name]["provider"]
        return Account(
            "acme", name, Channel(provider["channel"]), provider["vendor"], 0, provider["settings"],
            provider["credentials"],
        )  # fmt: skip

    async def send(self, name, number=1, address="", account=None, parts=None, tamper=bytes):
        account = account or self.account(name)
        message = Message(
            f"dlv_{number:048x}", "ntf_1", "acme", account.channel, "ada", address or self.entries[name]["address"],
            parts or PARTS[account.channel], 1, now_ms(),
        )  # fmt: skip
        vendor = VENDORS[account.channel, account.vendor]
        request = vendor.build(message, account, now_ms=now_ms(), token=None)
        request = msgspec.structs.replace(request, timeout_ms=1_000, body=tamper(request.body))
        return vendor.read(await self._http.send(request), message, account, now_ms=now_ms())


@pytest.fixture
async def start(simulator):
    """Return a function that starts a simulator and returns a sender to it."""
    closing = []

    async def start(**fields):
        context = simulator(**fields)
        sim = await context.__aenter__()
        http = GuardedHttp(("127.0.0.0/8",), sim.ca_file)
        closing.append((context, http))
        sender = Sender(sim, http)
        sender.receipts = sim.receipts
        return sender

    yield start
    for context, http in closing:
        await http.close()
        await context.__aexit__(None, None, None)


def test_every_http_vendor_is_played():
    http = {vendor.TRAITS.vendor for vendor in VENDORS.values() if vendor.TRAITS.transport == "http"}
    assert {played.vendor for played in SCRIPTS} == http - {"fcm", "webhook"}


def test_accounts_are_whole_and_each_simulator_has_its_own():
    parsed, other = account_entries(Secrets(b"one")), account_entries(Secrets(b"another"))
    assert set(parsed) == {"fcm", "webhook", "smtp", *NAMES}
    for name, entry in parsed.items():
        provider = entry["provider"]
        traits = VENDORS[provider["channel"], provider["vendor"]].TRAITS
        for fields, given in ((traits.settings, provider["settings"]), (traits.credentials, provider["credentials"])):
            assert {field.name for field in fields if field.required} <= set(given) <= {field.name for field in fields}
        if name in NAMES and provider["credentials"]:
            assert provider["credentials"] != other[name]["provider"]["credentials"]
    assert parsed == account_entries(Secrets(b"one"))


async def test_each_takes_a_message_and_writes_its_id_down(start):
    at = await start()
    for number, name in enumerate(NAMES, 1):
        outcome = await at.send(name, number)
        assert isinstance(outcome, Accepted), (name, outcome)
        receipt = at.receipts()[-1]
        assert receipt["vendor"] == at.account(name).vendor
        assert receipt["channel"] == at.account(name).channel
        assert bool(outcome.vendor_message_id) is (name not in NO_ID), name
        assert outcome.vendor_message_id == receipt.get("vendor_message_id", "")
        assert (receipt["key"] == f"dlv_{number:048x}") is (name not in UNNAMED)
        await at.send(name, number)
        assert (at.receipts()[-1]["key"], at.receipts()[-1]["arrival"]) == (receipt["key"], 2)


@pytest.mark.parametrize("fault", ["throttle", "error_500", "invalid_token"])
async def test_each_fault_in_each_vendors_own_words(start, fault):
    at = await start(faults=Faults(**{fault: 1.0}), retry_after_s=7)
    for name in NAMES:
        outcome = await at.send(name)
        vendor = at.account(name).vendor
        expected = {
            "throttle": Throttled,
            "error_500": Transient if name == "slack-webhook" else AFTER_5XX.get(vendor, Transient),
            "invalid_token": DEAD.get(name, InvalidRecipient),
        }[fault]
        assert type(outcome) is expected, (name, outcome)
        if fault == "throttle" and name not in ("ses", "sns", "vonage", "whatsapp"):
            assert 6_000 <= outcome.after_ms <= 9_000, (name, outcome)
        assert not at.receipts()[-1]["taken"]


async def test_a_cut_or_silent_line_is_an_error_of_the_line(start):
    at = await start(faults=Faults(accept_then_drop=1.0))
    for name in NAMES:
        with pytest.raises(EgressError):
            await at.send(name)
    assert [r["answer"] for r in at.receipts()] == ["accept_then_drop"] * len(NAMES)


async def test_strangers_are_misconfigured_in_each_vendors_words(start):
    at = await start()
    for name, wrong in WRONG.items():
        account = at.account(name)
        outcome = await at.send(name, account=msgspec.structs.replace(account, credentials=account.credentials | wrong))
        assert isinstance(outcome, Misconfigured), (name, outcome)
        assert "canary" not in outcome.detail
    assert {r["answer"] for r in at.receipts()} == {"unauthenticated"}


def other_pem():
    made = account_entries(Secrets(b"another"))
    return {"private_key": made["apns"]["provider"]["credentials"]["private_key"]}


@pytest.mark.parametrize(
    ("name", "settings", "credentials", "outcome"),
    [
        ("apns", {}, other_pem(), Misconfigured),
        ("apns", {"team_id": "OTHERTEAM0"}, {}, Misconfigured),
        ("apns", {"topic": "com.example.other"}, {}, Misconfigured),
        ("webpush", {"subject": "mailto:a@shop.invalid"}, {}, Misconfigured),
        # A browser that subscribed with another key: this subscription cannot work.
        ("webpush", {}, other_pem(), InvalidRecipient),
        ("mailgun", {"domain": "other.example"}, {}, Misconfigured),
        ("twilio", {"account_sid": "AC" + "0" * 32}, {}, Misconfigured),
        ("whatsapp", {"phone_number_id": "1"}, {}, Misconfigured),
        ("ses", {"region": "eu-west-1"}, {}, Misconfigured),
        ("sns", {}, {"access_key_id": "AKIA" + "X" * 16}, Misconfigured),
        ("vonage", {}, {"api_key": "0" * 8}, Misconfigured),
        ("vonage", {}, {"signature_secret": ""}, Accepted),
        ("vonage", {}, {"signature_secret": "", "api_secret": "canary"}, Misconfigured),
    ],
)
async def test_what_else_is_checked(start, name, settings, credentials, outcome):
    at = await start()
    account = at.account(name)
    account = msgspec.structs.replace(
        account, settings=account.settings | settings, credentials=account.credentials | credentials
    )
    assert isinstance(await at.send(name, account=account), outcome)


@pytest.mark.parametrize(
    ("name", "outcome"),
    [("ses", Misconfigured), ("sns", Misconfigured), ("vonage", Misconfigured), ("webpush", Refused)],
)
async def test_what_was_changed_on_the_way_is_not_taken(start, name, outcome):
    at = await start()
    swap = {"ses": (b"Hello", b"Hallo"), "sns": (b"Code", b"Kode"), "vonage": (b"Code", b"Kode")}

    def tamper(body):
        return body.replace(*swap[name]) if name in swap else body[:-1] + bytes((body[-1] ^ 1,))

    assert isinstance(await at.send(name, tamper=tamper), outcome)
    assert not at.receipts()[-1]["taken"]


TEXTS = ["\U0001f600 Zoë", "a\tb\nc", "a+b=c&d%20;~*'()\"\\/<>", "\u2028\u200d\ufeff", "€[]{}|^", "x" * 1_500]


@pytest.mark.parametrize("text", TEXTS)
async def test_any_text_arrives_under_every_signature(start, text):
    at = await start()
    for name in NAMES:
        names = {"email": ("text", "html"), "chat": ("text",)}.get(at.account(name).channel, ("body",))
        outcome = await at.send(name, parts=PARTS[at.account(name).channel] | dict.fromkeys(names, text))
        assert isinstance(outcome, Accepted), (name, outcome)


async def test_an_api_key_of_twilio(start):
    at = await start()
    account = at.account("twilio")
    sid = "SK" + account.settings["account_sid"][2:]
    account = msgspec.structs.replace(account, settings=account.settings | {"api_key_sid": sid})
    assert isinstance(await at.send("twilio", account=account), Accepted)


async def test_a_webhook_of_slack_that_is_not_there_keeps_the_account(start):
    at = await start()
    url = at.entries["slack-webhook"]["address"]
    outcome = await at.send("slack-webhook", address=url[:-4] + "0000")
    assert isinstance(outcome, Refused)
    assert outcome.reason == "invalid_token"


def request_of(played, **headers):
    return {":method": "POST", ":authority": "127.0.0.1:1", ":path": played, **headers}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"a=b&c", b'{"to":1}', b'{"aps":[]}'])
def test_what_is_no_message_is_malformed_and_never_an_error_inside(tmp_path, body):
    secrets = Secrets(hashlib.sha256(b"x").digest())
    receipts = Receipts(tmp_path / "r", Chooser(0, Faults()), fsync=False)
    stage = Stage(receipts, secrets, 1)
    paths = {
        "mailgun": "/v3/mg.example.com/messages", "twilio": f"/2010-04-01/Accounts/AC{'0' * 32}/Messages.json",
        "apns": "/3/device/" + "ab" * 32, "webpush": "/push/ada", "whatsapp": "/v23.0/106540352242922/messages",
        "slack": "/api/chat.postMessage",
        "slack-webhook": "/services/T0SIMULATOR/B0SIMULATOR/" + secrets.hex("slack hook", 24),
    }  # fmt: skip
    parsed = account_entries(secrets)
    for played in SCRIPTS:
        name = played.name or played.vendor
        credentials = parsed[name]["provider"]["credentials"]
        bearer = credentials.get("api_key") or credentials.get("access_token") or credentials.get("bot_token")
        known = {"authorization": f"Bearer {bearer}", "x-postmark-server-token": credentials.get("server_token", "")}
        reply = stage.answer(Request(1, request_of(paths.get(name, played.path), **known), body))
        assert reply is not None, name
        assert reply.status not in (201, 202), name
        assert len(reply.body) < 700
    receipts.close()
    answers = [json.loads(line)["answer"] for line in (tmp_path / "r").read_text().splitlines()]
    assert set(answers) <= {"malformed", "unauthenticated"}
    assert answers.count("malformed") >= 3
    assert stage.answer(Request(1, request_of("/nowhere"), body)) is None


def test_addresses_choose_their_answer_when_they_may():
    chooser = Chooser(0, Faults(), by_address=True)
    cases = {
        "+14155550404": [Answer.INVALID_TOKEN] * 3,
        "x500@example.com": [Answer.ERROR_500, Answer.ACCEPTED, Answer.ACCEPTED],
        "ab429": [Answer.THROTTLE, Answer.ACCEPTED, Answer.ACCEPTED],
        "x@404": [Answer.ACCEPTED] * 3,
    }
    assert {to: [chooser.choose("k", n, to) for n in (1, 2, 3)] for to in cases} == cases
    assert Chooser(0, Faults()).choose("k", 1, "+14155550404") is Answer.ACCEPTED


def test_headers_of_vendors_decode():
    headers = (("x-message-id", "0123"), ("location", "https://127.0.0.1:1/m/é"))
    assert Decoder().decode(literals(headers)) == dict(headers)
    with pytest.raises(HpackError, match="too long"):
        literals((("x", "y" * 127),))
