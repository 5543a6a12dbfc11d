"""Attempts with credentials by reference: the current value is used, a refused one is read again, a missing one waits."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from clarion.deliver.send.worker import Sender
from clarion.domain.channel import Channel
from clarion.domain.message import HttpResponse
from clarion.domain.outcome import Accepted, Misconfigured
from clarion.domain.planned import PlannedDelivery
from clarion.domain.secret_reference import parse_permissions
from clarion.outbound.secrets.reader import SecretReader
from clarion.ports.secret_stores import SecretUnavailable
from clarion.providers.chat import slack
from clarion.providers.push import fcm
from tests.providers import battery

SLACK = msgspec.structs.replace(
    battery.account(battery.tables()["chat_slack"]),
    credentials={"bot_token": {"from": "env:KEY"}},
    references=("bot_token",),
)
_GOOGLE = battery.account(battery.tables()["push_fcm"])
FCM = msgspec.structs.replace(
    _GOOGLE,
    credentials={name: {"from": f"env:{name}"} for name in _GOOGLE.credentials},
    references=tuple(_GOOGLE.credentials),
)


class Vendor:
    """A vendor that takes one key. Gives a new token with each request for one."""

    def __init__(self):
        self.key, self.sent, self.tokens = "xoxb-first", [], 0

    async def send(self, request):
        if request.url.endswith("/token"):
            self.tokens += 1
            return HttpResponse(200, {}, b'{"access_token": "token-%d", "expires_in": 3600}' % self.tokens)
        self.sent.append(request.headers["authorization"].removeprefix("Bearer "))
        if "slack" not in request.url:
            return HttpResponse(200, {}, b'{"name": "projects/shop/messages/1"}')
        if self.sent[-1] != self.key:
            return HttpResponse(200, {}, b'{"ok": false, "error": "invalid_auth"}')
        return HttpResponse(200, {}, b'{"ok": true, "ts": "1", "channel": "C1"}')


class Bench:
    def __init__(self):
        self.values = {"KEY": "xoxb-first", **_GOOGLE.credentials}
        self.at_ms, self.vendor = 10_000, Vendor()
        clock = SimpleNamespace(now_ms=lambda: battery.NOW_MS, monotonic_ms=lambda: self.at_ms)
        silent = SimpleNamespace(log=lambda *args, **fields: None, security=lambda *args, **fields: None)
        allowed = parse_permissions([f"{tenant} env:*" for tenant in {SLACK.tenant, FCM.tenant}], "secrets.allow")
        self.reader = SecretReader({"env": self}, allowed, clock, silent)
        contents = SimpleNamespace(
            holds=lambda *args: True, render=lambda *args, **more: {"title": "Hi", "text": "Hi", "body": "Hi"}
        )
        vendors = {(Channel.CHAT, "slack"): slack, (Channel.PUSH, "fcm"): fcm}
        self.sender = Sender(
            SimpleNamespace(), vendors, contents, self.vendor, None, clock, silent, secrets=self.reader
        )  # fmt: skip

    def read(self, place, root):
        value = self.values[place]
        if value is None:
            raise SecretUnavailable("secret_missing", "is not there")
        return value.encode()

    async def attempt(self, account, number=1):
        delivery = bytes.fromhex(battery.DELIVERY.partition("_")[2])
        row = PlannedDelivery(delivery, "acme", "ada", "C1", "en", "hi", "", {}, None, number, None, None, None, None)
        return await self.sender.attempt(account.channel, row, account)


@pytest.fixture
async def bench():
    made = Bench()
    yield made
    await made.reader.close()


async def test_a_refused_secret_is_read_again_and_the_message_is_sent_at_once(bench):
    assert isinstance((await bench.attempt(SLACK)).outcome, Accepted)
    bench.at_ms += 2_000
    bench.values["KEY"] = bench.vendor.key = "xoxb-second"
    answers = await asyncio.gather(*(bench.attempt(SLACK) for _ in range(5)))
    assert all(isinstance(answer.outcome, Accepted) for answer in answers)
    assert bench.vendor.sent == ["xoxb-first"] * 6 + ["xoxb-second"] * 5


async def test_a_secret_that_is_refused_and_the_same_stays_refused(bench):
    bench.vendor.key = "xoxb-other"
    answer = await bench.attempt(SLACK)
    assert isinstance(answer.outcome, Misconfigured)
    assert (answer.provider, bench.vendor.sent) == (SLACK.name, ["xoxb-first"])
    assert "xoxb-first" not in answer.outcome.detail


async def test_an_account_without_its_secret_is_misconfigured_and_says_which(bench):
    bench.values["KEY"] = None
    answer = await bench.attempt(SLACK)
    assert answer.outcome == Misconfigured("secret_missing: credentials.bot_token: the secret env:KEY is not there")
    assert bench.vendor.sent == []


async def test_a_rotated_secret_fetches_a_new_access_token(bench):
    for _ in range(2):
        await bench.attempt(FCM)
    assert bench.vendor.sent == ["token-1"] * 2
    bench.values["private_key_id"] = "another"
    bench.at_ms += 60_000
    await bench.attempt(FCM)
    assert bench.vendor.sent[2:] == ["token-2"]
