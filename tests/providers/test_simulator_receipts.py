"""The vendors' readers accept receipts of the simulator: two implementations of each signature agree."""

import asyncio
import hashlib
from random import Random
from urllib.parse import parse_qsl

import msgspec
import pytest

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.message import Message
from clarion.ports.receipts import Forged, Inbound, Receipt, ReceiptCall
from clarion.providers import catalogue
from clarion_lab.simulate.accounts import Others, accounts
from clarion_lab.simulate.callbacks import RECEIPT_FORMATS, Callbacks, due
from clarion_lab.simulate.config import Faults
from clarion_lab.simulate.direct import call_of
from clarion_lab.simulate.faults import Chooser
from clarion_lab.simulate.receipts import Receipts
from clarion_lab.simulate.vendor_receipts.events import Hook, Mail, events_of, hooks_of
from clarion_lab.simulate.vendor_receipts.mails import SES_CERTIFICATE_URL, ses_certificate
from clarion_lab.simulate.vendors.script import Secrets
from clarion_lab.simulate.vendors.stage import Stage
from tests.providers.conftest import serving

NOW_MS = 1_800_000_000_000
ORIGIN = "https://127.0.0.1:1"
URL = "http://127.0.0.1:8400/v1/receipts/acme/{provider}"
REFERENCE = f"dlv_{7:048x}"
MODULES = catalogue.load()
SECRETS = Secrets(hashlib.sha256(b"x").digest())
PARTS = {"subject": "s", "text": "t", "body": "b"}
MAILS, TEXTS = ("sendgrid", "mailgun", "postmark", "ses"), ("twilio", "vonage", "termii", "whatsapp")
SUPPRESSED = {"sendgrid", "mailgun", "postmark", "ses", "twilio", "vonage", "whatsapp"}
"""Whose bounces say that the address is dead; a failure at Termii is only prose."""


def account_of(vendor):
    others = Others(
        {"project_id": "p", "client_email": "c", "private_key": "k", "private_key_id": "i"}, f"{ORIGIN}/token",
        "whsec_x", f"{ORIGIN}/webhook", "127.0.0.1", 25,
    )  # fmt: skip
    given = msgspec.json.decode(accounts(SECRETS, ORIGIN, others))[vendor]["provider"]
    settings = dict(given["settings"])
    if vendor == "twilio":
        settings["status_callback"] = URL.replace("{provider}", "twilio")
    return Account("acme", vendor, Channel(given["channel"]), vendor, 0, settings, given["credentials"])


@pytest.fixture
def receipts_for(tmp_path):
    """Send a message to an address through a vendor, and return its account and the calls the vendor makes."""
    receipts = Receipts(tmp_path / "r", Chooser(0, Faults()), fsync=False)
    hooks = []

    def taken(vendor, request, place, to, id_):
        mail = Mail(vendor, to, id_, RECEIPT_FORMATS[vendor].back(request, place))
        hooks.extend(hooks_of(RECEIPT_FORMATS[vendor], mail, URL.replace("{provider}", vendor), NOW_MS / 1000, SECRETS))

    stage = Stage(receipts, SECRETS, 1, None, taken)

    def send(vendor, address):
        hooks.clear()
        account = account_of(vendor)
        message = Message(
            REFERENCE, "ntf_1", "acme", account.channel, "ada", address, PARTS, 1, NOW_MS, reference=REFERENCE
        )
        request = MODULES[account.channel, vendor].build(message, account, now_ms=NOW_MS, token=None)
        assert stage.answer(call_of(request)).status in (200, 201, 202)
        return account, list(hooks)

    yield send
    receipts.close()


def read(account, hook, **changes):
    hook = msgspec.structs.replace(hook, **changes)
    call = ReceiptCall("POST", hook.url, dict(parse_qsl(hook.url.partition("?")[2])), hook.headers, hook.body)
    module = MODULES[account.channel, account.vendor]
    if not hasattr(module, "read_receipts"):
        pytest.skip(f"{account.vendor} has no receipts")
    return module.read_receipts(call, account, now_ms=NOW_MS + 5_000, keys={SES_CERTIFICATE_URL: ses_certificate()})


def address_of(vendor, digits):
    return f"ada.{digits}@example.com" if vendor in MAILS else f"+14155550{digits}"


@pytest.mark.parametrize("vendor", [*MAILS, *TEXTS])
def test_a_message_is_delivered(receipts_for, vendor):
    account, hooks = receipts_for(vendor, address_of(vendor, "101"))
    parsed = [one for hook in hooks for one in read(account, hook)]
    kinds = [one.kind for one in parsed]
    assert "delivered" in kinds
    assert set(kinds) <= {"delivered", "read"}
    for one in parsed:
        assert one.reference == REFERENCE or (vendor in ("termii",) and one.vendor_message_id)
        assert one.suppress is None


@pytest.mark.parametrize("vendor", [*MAILS, *TEXTS])
def test_a_message_bounces(receipts_for, vendor):
    address = address_of(vendor, "550")
    account, hooks = receipts_for(vendor, address)
    parsed = [one for hook in hooks for one in read(account, hook)]
    assert [one.kind for one in parsed] == ["bounced"]
    if vendor in SUPPRESSED:
        assert parsed[0].suppress.address == address


@pytest.mark.parametrize("vendor", MAILS)
def test_somebody_complains(receipts_for, vendor):
    account, hooks = receipts_for(vendor, address_of(vendor, "551"))
    parsed = [one for hook in hooks for one in read(account, hook)]
    assert [one.kind for one in parsed] == ["delivered", "complained"]
    assert parsed[1].suppress.reason == "complaint"


@pytest.mark.parametrize("vendor", TEXTS)
def test_a_person_answers_stop(receipts_for, vendor):
    account, hooks = receipts_for(vendor, address_of(vendor, "552"))
    parsed = [one for hook in hooks for one in read(account, hook)]
    assert [type(one) for one in parsed] == [Receipt, Inbound]
    assert (parsed[1].keyword, parsed[1].address) == ("stop", address_of(vendor, "552"))


@pytest.mark.parametrize("vendor", [*MAILS, *TEXTS])
def test_what_was_changed_on_the_way_is_forged(receipts_for, vendor):
    account, hooks = receipts_for(vendor, address_of(vendor, "550"))
    if vendor == "mailgun":  # signs no body
        body = hooks[-1].body.replace(b'"token":"', b'"token":"0')
        assert isinstance(read(account, hooks[-1], body=body), Forged)
    elif vendor == "postmark":  # signs nothing
        assert isinstance(read(account, hooks[-1], headers={"authorization": "Basic cG9zdG1hcms6eA=="}), Forged)
    else:
        assert isinstance(read(account, hooks[-1], body=hooks[-1].body.replace(b"550", b"101")), Forged)


def test_stories_follow_from_the_address():
    assert events_of("x@example.com")[1] == "delivered"
    assert events_of("x@550.example") == events_of("x@example.com")
    assert events_of("a.550@example.com") == ("bounced",)


def test_chaos_repeats_some_calls_and_keeps_no_order():
    hooks = [Hook(str(n), {}, b"") for n in range(100)]
    plain, wild = due(hooks, Random(1), chaos=False), due(hooks, Random(1), chaos=True)
    assert [hook for _, hook in plain] == hooks
    assert plain == sorted(plain, key=lambda call: call[0])
    assert 110 < len(wild) < 150
    assert wild == due(hooks, Random(1), chaos=True) != due(hooks, Random(2), chaos=True)
    assert [hook for _, hook in sorted(wild, key=lambda call: call[0])] != hooks


@pytest.mark.slow
async def test_calls_are_made_again_until_they_are_taken(tmp_path, receipts_for):
    account, _ = receipts_for("termii", "+14155550101")
    seen, whole = [], asyncio.Event()

    async def handler(reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:] if line)
            seen.append((fields, await reader.readexactly(int(fields["content-length"]))))
            if len(seen) == 3:
                whole.set()
            status = b"503 Busy" if len(seen) == 1 else b"204 No Content"
            writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n")

    message = Message(REFERENCE, "ntf_1", "acme", Channel.SMS, "ada", "+14155550101", PARTS, 1, NOW_MS)
    request = call_of(MODULES[Channel.SMS, "termii"].build(message, account, now_ms=NOW_MS, token=None))
    async with serving(handler) as port:
        url = f"http://127.0.0.1:{port}/v1/receipts/acme/{{provider}}"
        callbacks = Callbacks(url, SECRETS, tmp_path / "c", seed=1, chaos=False)
        callbacks.taken("termii", request, 0, message.address, "1")
        async with asyncio.timeout(20):
            await whole.wait()
        await asyncio.sleep(0.1)
        await callbacks.close()
    lines = [msgspec.json.decode(line) for line in (tmp_path / "c").read_bytes().splitlines()]
    assert sorted((line["status"], line["tries"]) for line in lines) == [(204, 1), (204, 2)]
    assert all(
        isinstance(read(account, Hook(url.replace("{provider}", "termii"), fields, body)), list)
        for fields, body in seen
    )
