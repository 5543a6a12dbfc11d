"""A slow build, such as a signature, does not block the other work of a process."""

import asyncio
import threading
import time
from types import SimpleNamespace

import msgspec
import pytest

from clarion.deliver.send.worker import Sender
from clarion.domain import ids
from clarion.domain.attachment import Attachment
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import OperatorError
from clarion.domain.limits_delivery import ATTACHMENTS_QUICK_BYTES_MAX, SLOW_BUILDS_MAX
from clarion.domain.message import LocalReply, LocalRequest, SmtpReply
from clarion.domain.outcome import Accepted, Refused
from clarion.domain.planned import PlannedDelivery
from clarion.providers import catalogue
from clarion.providers.email import smtp
from clarion.providers.sandbox import sandbox
from tests.providers import battery

DELIVERY = bytes.fromhex(battery.DELIVERY.removeprefix(ids.DELIVERY_PREFIX))
ROW = PlannedDelivery(
    DELIVERY, "acme", "ada", "ada@example.org", "en", "hi", "", {}, None, 1, None, None, None, None,
)  # fmt: skip
PARTS = {"subject": "Grüße", "text": "Your order is on its way."}


class Wire:
    """An SMTP egress that accepts every message and stores it."""

    def __init__(self):
        self.sent = []

    async def send(self, request):
        self.sent.append(request)
        return SmtpReply("data", 250, "2.0.0 Ok")


class Watched:
    """A vendor that notes on which thread it builds, and how many builds are under way at once."""

    def __init__(self, build_s=0.0, flaw=None):
        self.TRAITS = msgspec.structs.replace(sandbox.TRAITS, slow_credentials=("key",))
        self.build_s, self.flaw = build_s, flaw
        self.threads, self.under_way, self.most = [], 0, 0
        self._lock = threading.Lock()

    def build(self, message, account, *, now_ms, token):
        self.threads.append(threading.current_thread())
        with self._lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        time.sleep(self.build_s)
        with self._lock:
            self.under_way -= 1
        if self.flaw:
            raise self.flaw
        return LocalRequest({})

    def read(self, response, message, account, *, now_ms):
        assert isinstance(response, LocalReply)
        return Accepted()


def sender(vendor, wire=None, channel=Channel.EMAIL, name="watched"):
    return Sender(
        SimpleNamespace(),
        {(channel, name): vendor},
        SimpleNamespace(holds=lambda *args: True, render=lambda *args, **more: PARTS),
        None,
        wire,
        SimpleNamespace(now_ms=lambda: battery.NOW_MS),
        SimpleNamespace(log=lambda *args, **fields: None),
    )  # fmt: skip


def account(**credentials):
    return Account("acme", "primary", Channel.EMAIL, "watched", 0, {}, credentials)


async def test_the_loop_continues_during_a_slow_build():
    vendor, turns = Watched(build_s=0.2), 0
    attempt = asyncio.create_task(sender(vendor).attempt(Channel.EMAIL, ROW, account(key="k")))
    while not attempt.done():
        turns += 1
        await asyncio.sleep(0.005)
    assert isinstance((await attempt).outcome, Accepted)
    assert turns > 5
    assert vendor.threads != [threading.main_thread()]


async def test_slow_builds_are_few_at_once():
    vendor = Watched(build_s=0.02)
    one = sender(vendor)
    answers = await asyncio.gather(*(one.attempt(Channel.EMAIL, ROW, account(key="k")) for _ in range(12)))
    assert [type(answer.outcome) for answer in answers] == [Accepted] * 12
    assert vendor.most <= SLOW_BUILDS_MAX
    assert len(set(vendor.threads)) <= SLOW_BUILDS_MAX


@pytest.mark.parametrize("credentials", [{}, {"key": ""}, {"other": "x"}])
async def test_without_a_slow_credential_the_build_needs_no_thread(credentials):
    vendor = Watched()
    await sender(vendor).attempt(Channel.EMAIL, ROW, account(**credentials))
    assert vendor.threads == [threading.current_thread()]


async def test_large_files_are_put_into_mail_in_a_thread():
    for size, alone in ((ATTACHMENTS_QUICK_BYTES_MAX, False), (ATTACHMENTS_QUICK_BYTES_MAX + 1, True)):
        vendor, row = Watched(), ROW._replace(attachments=[Attachment("a.bin", "", bytes(size))])
        assert isinstance((await sender(vendor).attempt(Channel.EMAIL, row, account())).outcome, Accepted)
        assert (vendor.threads != [threading.current_thread()]) == alone


async def test_a_failed_build_fails_alike_without_a_thread():
    for credentials in ({}, {"key": "k"}):
        answer = await sender(Watched(flaw=ValueError("no"))).attempt(Channel.EMAIL, ROW, account(**credentials))
        assert answer.outcome == Refused("unbuildable", "no")


async def test_signed_mail_is_made_in_a_thread_and_the_same():
    table, threads = battery.tables()["email_smtp_dkim"], []

    def build(*args, **named):
        threads.append(threading.current_thread())
        return smtp.build(*args, **named)

    owner, wire = battery.account(table), Wire()
    await sender(SimpleNamespace(TRAITS=smtp.TRAITS, build=build, read=smtp.read), wire, name="smtp").attempt(
        Channel.EMAIL, ROW, owner
    )
    created_ms = ids.created_ms(ids.notification_of(DELIVERY))
    message = battery.message(table, address=ROW.address, parts=PARTS, created_ms=created_ms, metadata={})
    assert wire.sent == [smtp.build(message, owner, now_ms=battery.NOW_MS, token=None)]
    assert wire.sent[0].payload.startswith(b"DKIM-Signature: ")
    assert threading.current_thread() not in threads


def test_a_slow_credential_has_to_be_a_credential():
    traits = msgspec.structs.replace(sandbox.TRAITS, slow_credentials=("nothing",))
    module = SimpleNamespace(build=sandbox.build, read=sandbox.read)
    with pytest.raises(OperatorError, match="slow_credentials"):
        catalogue._check("acme", module, traits)
