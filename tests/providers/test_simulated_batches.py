"""Calls with many e-mails against the simulator, over real connections: each message arrives once, in fewer calls."""

import asyncio
import collections
import json
import time
from types import SimpleNamespace

import pytest

from clarion.deliver.send.worker_batches import Batches
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import EgressError
from clarion.domain.message import Message
from clarion.domain.outcome import Accepted, Ambiguous, InvalidRecipient, Misconfigured, Refused, Throttled, Transient
from clarion.outbound.net.http import GuardedHttp
from clarion.providers import catalogue
from clarion_lab.simulate.config import Faults
from tests.providers.batch import delivery

pytestmark = pytest.mark.slow

VENDORS = catalogue.load()
BATCHING = sorted({vendor.TRAITS.vendor for vendor in VENDORS.values() if vendor.TRAITS.batch_max > 1})
PARTS = {"subject": "Grüße", "text": "Hello & = ü", "html": "<p>Hello</p>"}
DEAD = {"ses": Refused}
COUNT = 200


def now_ms():
    return time.time_ns() // 1_000_000


class Sender:
    """A sender of e-mails of one vendor to a running simulator through `Batches`."""

    def __init__(self, sim, name, http):
        parsed = json.loads(sim.where.providers_file.read_bytes())[name]["provider"]
        self.account = Account("acme", name, Channel.EMAIL, name, 0, parsed["settings"], parsed["credentials"])
        self.vendor, self.sim, self._http = VENDORS[Channel.EMAIL, name], sim, http
        self.calls = 0
        self.batches = Batches(self, SimpleNamespace(now_ms=now_ms), SimpleNamespace(log=self._log))

    def _log(self, level, event, **fields):
        raise AssertionError((event, fields))

    async def send(self, request):
        self.calls += 1
        return await self._http.send(request)

    async def call(self, vendor, message, account, token):
        request = vendor.build(message, account, now_ms=now_ms(), token=token)
        return vendor.read(await self.send(request), message, account, now_ms=now_ms())

    async def all(self, addresses, account=None):
        """Return the outcome of an e-mail to each address, all sent at once."""

        async def one(number, address):
            link = {"list_unsubscribe": f"https://shop.example/u/{number}"}
            message = Message(
                delivery(number), "ntf_1", "acme", Channel.EMAIL, "ada", address, PARTS, 1, now_ms(), metadata=link
            )
            try:
                return await self.batches.send(self.vendor, message, account or self.account, None, self.call)
            except EgressError as error:
                return Ambiguous(error.detail)

        return await asyncio.gather(*(one(number, address) for number, address in enumerate(addresses)))

    def taken(self):
        return collections.Counter(line["key"] for line in self.sim.receipts() if line["taken"])


@pytest.fixture
async def start(simulator):
    """Return a function that starts a simulator and returns a sender to it."""
    closing = []

    async def start(name, **fields):
        context = simulator(**fields)
        sim = await context.__aenter__()
        http = GuardedHttp(("127.0.0.0/8",), sim.ca_file)
        closing.append((context, http))
        return Sender(sim, name, http)

    yield start
    for context, http in closing:
        await http.close()
        await context.__aexit__(None, None, None)


def addresses(end="777", *, at=7):
    return [f"ada-{number}-{end if number == at else '777'}@example.com" for number in range(COUNT)]


@pytest.mark.parametrize("name", BATCHING)
async def test_each_arrives_once_in_few_calls(start, name):
    sender = await start(name)
    parsed = await sender.all(addresses())
    assert {type(outcome) for outcome in parsed} == {Accepted}
    assert all(outcome.vendor_message_id for outcome in parsed)
    assert sender.taken() == {delivery(number): 1 for number in range(COUNT)}
    assert sender.calls == -(-COUNT // sender.vendor.TRAITS.batch_max)


@pytest.mark.parametrize("name", BATCHING)
async def test_one_dead_address_is_one_dead_address(start, name):
    sender = await start(name, by_address=True)
    parsed = await sender.all(addresses("404"))
    dead = DEAD.get(name, InvalidRecipient)
    assert [number for number, outcome in enumerate(parsed) if type(outcome) is dead] == [7]
    assert {type(outcome) for outcome in parsed} == {Accepted, dead}
    assert sender.taken() == {delivery(number): 1 for number in range(COUNT) if number != 7}
    # Mailgun does not report which address it is.
    assert sender.calls <= (COUNT + 1 if name == "mailgun" else COUNT // 50 + 1)


@pytest.mark.parametrize(("end", "expected"), [("429", Throttled), ("500", Transient)])
@pytest.mark.parametrize("name", BATCHING)
async def test_the_failure_of_a_call_is_reported_to_all_in_it(start, name, end, expected):
    sender = await start(name, by_address=True)
    parsed = await sender.all(addresses(end))
    failed = [number for number, outcome in enumerate(parsed) if type(outcome) is expected]
    assert failed == list(range(min(COUNT, sender.vendor.TRAITS.batch_max)))
    assert sender.taken() == {delivery(number): 1 for number in range(COUNT) if number not in failed}
    again = await sender.all(addresses(end))
    assert {type(outcome) for outcome in again} == {Accepted}


@pytest.mark.parametrize("name", BATCHING)
async def test_a_stranger_is_misconfigured(start, name):
    sender = await start(name)
    wrong = dict.fromkeys(sender.account.credentials, "canaryofasecret16")
    account = Account("acme", name, Channel.EMAIL, name, 0, sender.account.settings, wrong)
    parsed = await sender.all(addresses(), account)
    assert {type(outcome) for outcome in parsed} == {Misconfigured}
    assert not sender.taken()


@pytest.mark.parametrize("name", BATCHING)
async def test_an_answer_that_is_lost_leaves_all_in_doubt(start, name):
    sender = await start(name, faults=Faults(accept_then_drop=1.0))
    parsed = await sender.all(addresses())
    assert {type(outcome) for outcome in parsed} == {Ambiguous}
    assert sender.taken() == {delivery(number): 1 for number in range(COUNT)}


async def test_mailgun_without_variables_is_refused_by_the_simulator(start):
    """The simulator refuses a call that would show all addresses to every recipient."""
    sender = await start("mailgun")
    vendor = sender.vendor
    message = Message(delivery(1), "ntf_1", "acme", Channel.EMAIL, "ada", "a@example.com", PARTS, 1, now_ms())
    request = vendor.build(message, sender.account, now_ms=now_ms(), token=None)
    body = request.body.replace(b"a%40example.com", b"a%40example.com%2C+b%40example.com")
    assert body != request.body
    answer = await sender.send(type(request)(request.method, request.url, request.headers, body))
    assert answer.status == 400
    assert not sender.taken()
