"""Messages that share calls: none waits long, is lost or is sent twice, whatever happens to the other messages."""

import asyncio
import json
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.deliver.send import worker_batches
from clarion.deliver.send.worker_batches import Batches
from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import EgressError, Sent
from clarion.domain.limits_delivery import BATCH_CHARS_MAX, BATCH_LINGER_MS
from clarion.domain.message import HttpRequest, HttpResponse, Message
from clarion.domain.outcome import Accepted, Ambiguous, InvalidRecipient, Throttled

ACCOUNT = Account("acme", "mail", Channel.EMAIL, "many", 0, {}, {"key": "canary-of-a-secret"}, 1)


class Many:
    """A vendor that takes messages as they are; the test decides what its answer means."""

    def __init__(self, most=10, read=None, flaw=None):
        self.TRAITS = SimpleNamespace(batch_max=most)
        self.flaw = flaw
        self._read = read or (lambda addresses, response: [Accepted(one) for one in addresses])

    def batch_key(self, message, account):
        return message.parts.get("key", "same")

    def build_batch(self, messages, account, *, now_ms, token):
        if self.flaw:
            raise self.flaw
        if bad := [one.address for one in messages if one.address.startswith("unbuildable")]:
            raise ValueError(f"{bad} cannot be built")
        return HttpRequest("POST", "https://x.example", {}, json.dumps([one.address for one in messages]).encode())

    def read_batch(self, response, messages, account, *, now_ms):
        return self._read([one.address for one in messages], response)


class Wire:
    """An egress that stores its requests, in batches and alone, and answers when the test allows it."""

    def __init__(self, error=None):
        self.calls, self.alone, self.error = [], [], error
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, request):
        self.calls.append(json.loads(request.body))
        await self.open.wait()
        if self.error:
            raise self.error
        return HttpResponse(200, {}, b"")

    async def call(self, vendor, message, account, token):
        self.alone.append(message.address)
        await self.open.wait()
        return Accepted(f"alone {message.address}")


class World:
    """Batches on a wire."""

    def __init__(self, vendor=None, **wire):
        self.wire, self.vendor, self.logged = Wire(**wire), vendor or Many(), []
        clock = SimpleNamespace(now_ms=lambda: 0)
        log = SimpleNamespace(log=lambda level, event, **fields: self.logged.append((event, fields)))
        self.batches = Batches(self.wire, clock, log)

    def send(self, address, account=ACCOUNT, token=None, urgent=False, **parts):
        message = Message("dlv", "ntf", "acme", Channel.EMAIL, "ada", address, parts, 1, 0)
        return asyncio.create_task(
            self.batches.send(self.vendor, message, account, token, self.wire.call, urgent=urgent)
        )

    def all(self, *addresses):
        return asyncio.gather(*(self.send(address) for address in addresses), return_exceptions=True)


async def test_messages_ready_together_share_a_call():
    world = World()
    assert await world.all("a", "b", "c") == [Accepted("a"), Accepted("b"), Accepted("c")]
    assert (world.wire.calls, world.wire.alone) == ([["a", "b", "c"]], [])
    assert not world.batches._groups


async def test_a_lone_message_is_sent_in_the_next_pass_by_its_own_call():
    world = World()
    task = world.send("a")
    for _ in range(4):
        await asyncio.sleep(0)
    assert world.wire.alone == ["a"]
    assert await task == Accepted("alone a")
    assert world.wire.calls == []


async def test_messages_gather_while_a_call_is_under_way(monkeypatch):
    monkeypatch.setattr(worker_batches, "BATCH_LINGER_MS", 60_000)
    world = World()
    world.wire.open.clear()
    first = world.all("a", "b")
    await asyncio.sleep(0.001)
    rest = []
    for address in "cde":
        rest.append(world.send(address))
        await asyncio.sleep(0.001)
    assert world.wire.calls == [["a", "b"]]
    world.wire.open.set()
    await asyncio.wait_for(asyncio.gather(first, *rest), 1)
    assert world.wire.calls == [["a", "b"], ["c", "d", "e"]]


async def test_no_message_waits_longer_than_the_linger_for_a_call_that_hangs():
    world = World()
    world.wire.open.clear()
    first = world.all("a", "b")
    await asyncio.sleep(0.001)
    rest = world.all("c", "d")
    await asyncio.sleep(BATCH_LINGER_MS / 1000 + 0.05)
    assert world.wire.calls == [["a", "b"], ["c", "d"]]
    world.wire.open.set()
    await asyncio.gather(first, rest)


async def test_an_urgent_message_does_not_wait():
    world = World()
    world.wire.open.clear()
    first = world.all("a", "b")
    await asyncio.sleep(0.001)
    urgent = world.send("u", urgent=True)
    await asyncio.sleep(0)
    assert world.wire.alone == ["u"]
    world.wire.open.set()
    await asyncio.gather(first, urgent)


async def test_a_call_is_full_at_the_vendors_number():
    world = World(Many(most=3))
    await world.all(*"abcdefgh")
    assert world.wire.calls == [["a", "b", "c"], ["d", "e", "f"], ["g", "h"]]


async def test_a_call_is_full_at_its_size():
    world = World()
    half = "x" * (BATCH_CHARS_MAX // 2 - 2_000)
    await asyncio.gather(*(world.send(address, body=half) for address in "abc"), world.send("d", body="x" * 9_000_000))
    assert (world.wire.calls, world.wire.alone) == ([["a", "b"]], ["c", "d"])


async def test_an_address_is_in_a_call_once():
    world = World()
    await world.all("a@x", "b@x", "A@x", "c@x")
    assert world.wire.calls == [["a@x", "b@x"], ["A@x", "c@x"]]


async def test_accounts_tokens_and_keys_do_not_mix():
    world = World()
    other = msgspec.structs.replace(ACCOUNT, tenant="other")
    newer = msgspec.structs.replace(ACCOUNT, version=2)
    await asyncio.gather(
        world.send("a"), world.send("b", account=other), world.send("c", account=newer), world.send("d", token="t"),
        world.send("e", key="k"), world.send("f", key=None),
    )  # fmt: skip
    assert (world.wire.calls, sorted(world.wire.alone)) == ([], list("abcdef"))


async def test_a_vendor_that_takes_one_at_a_time_is_not_asked():
    world = World(SimpleNamespace(TRAITS=SimpleNamespace(batch_max=1)))
    assert await world.all("a", "b") == [Accepted("alone a"), Accepted("alone b")]


@pytest.mark.parametrize("sent", list(Sent))
async def test_a_failed_call_has_failed_for_all(sent):
    world = World(error=EgressError("no", sent=sent, blocked=False))
    records = await world.all("a", "b")
    assert [(type(error), error.detail, error.sent) for error in records] == [(EgressError, "no", sent)] * 2
    assert records[0] is not records[1]
    assert world.wire.alone == []


async def test_a_cancelled_message_affects_no_other():
    world = World()
    world.wire.open.clear()
    early, a, b, c = (world.send(address) for address in ("early", "a", "b", "c"))
    await asyncio.sleep(0)
    early.cancel()
    await asyncio.sleep(0.001)
    assert world.wire.calls == [["a", "b", "c"]]
    a.cancel()
    await asyncio.sleep(0)
    world.wire.open.set()
    assert await asyncio.gather(b, c) == [Accepted("b"), Accepted("c")]
    assert early.cancelled()
    assert a.cancelled()
    assert not world.batches._groups


async def test_a_cancelled_lone_message_leaves_nothing_behind():
    world = World()
    world.wire.open.clear()
    task = world.send("a")
    await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.sleep(0.001)
    assert task.cancelled()
    assert not world.batches._groups
    world.wire.open.set()
    assert await world.all("b", "c") == [Accepted("b"), Accepted("c")]


@pytest.mark.parametrize("records", [[], [Accepted("a")], [Accepted("a")] * 3])
async def test_too_few_or_too_many_results_leave_all_unknown(records):
    world = World(Many(read=lambda addresses, response: records))
    assert [type(outcome) for outcome in await world.all("a", "b")] == [Ambiguous, Ambiguous]
    assert world.logged == [("batch_miscounted", {"vendor": "many", "sent": 2, "reported": len(records)})]
    assert world.wire.alone == []


async def test_a_missing_result_for_all_sends_them_one_by_one():
    world = World(Many(read=lambda addresses, response: None))
    assert await world.all("a", "b") == [Accepted("alone a"), Accepted("alone b")]
    assert world.wire.calls == [["a", "b"]]


async def test_the_rest_of_a_rejected_batch_shares_a_call_again():
    def read(addresses, response):
        if "bad" not in addresses:
            return [Accepted(one) for one in addresses]
        return [InvalidRecipient() if one == "bad" else None for one in addresses]

    world = World(Many(read=read))
    assert await world.all("a", "bad", "c") == [Accepted("a"), InvalidRecipient(), Accepted("c")]
    assert (world.wire.calls, world.wire.alone) == ([["a", "bad", "c"], ["a", "c"]], [])


async def test_a_vendor_that_always_names_another_gets_them_one_by_one():
    world = World(Many(read=lambda addresses, response: [InvalidRecipient(), *[None] * (len(addresses) - 1)]))
    await world.all(*"abcdefgh")
    assert [len(call) for call in world.wire.calls] == [8, 7, 6]
    assert world.wire.alone == list("defgh")


async def test_one_that_cannot_be_built_leaves_each_to_its_own_call():
    world = World()
    assert await world.all("a", "unbuildable", "b") == [
        Accepted(f"alone {one}") for one in ("a", "unbuildable", "b")
    ]  # fmt: skip
    assert (world.wire.calls, world.logged) == ([], [])


async def test_a_bug_of_a_vendor_loses_no_message_and_leaks_no_secret():
    world = World(Many(flaw=KeyError("canary-of-a-secret")))
    assert await world.all("a", "b") == [Accepted("alone a"), Accepted("alone b")]
    assert world.logged == [("batch_build_crashed", {"vendor": "many", "error": "KeyError('***')"})]

    def read(addresses, response):
        raise KeyError("canary-of-a-secret")

    world = World(Many(read=read))
    assert await world.all("a", "b") == [Ambiguous("internal error: KeyError")] * 2
    assert "canary" not in str(world.logged)


@given(
    st.lists(
        st.tuples(st.sampled_from(["send", "urgent", "cancel", "answer", "tick"]), st.integers(0, 5)), max_size=30
    ),
    st.sampled_from(["each", "none", "name", "fail"]),
)
def test_every_message_has_one_result_and_is_sent_once(steps, mode):
    """Whatever the order of arrivals, answers and cancellations: each message goes out once, or again only when the call
    before surely did not take it."""

    async def play():
        def read(addresses, response):
            if mode == "none":
                return None
            if mode == "name" and len(addresses) > 2:
                return [Throttled(), *[None] * (len(addresses) - 1)]
            return [Accepted(one) for one in addresses]

        error = EgressError("no", sent=Sent.MAYBE) if mode == "fail" else None
        world, tasks = World(Many(most=4, read=read), error=error), []
        world.wire.open.clear()
        for number, (step, place) in enumerate(steps):
            match step:
                case "send" | "urgent":
                    tasks.append(world.send(f"m{number}", urgent=step == "urgent", key=str(place % 2)))
                case "cancel" if tasks:
                    tasks[place % len(tasks)].cancel()
                case "answer":
                    world.wire.open.set()
                    await asyncio.sleep(0)
                    world.wire.open.clear()
                case _:
                    await asyncio.sleep(0)
        world.wire.open.set()
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert not world.batches._groups
        assert not world.batches._calls
        for call in world.wire.calls:
            assert 2 <= len(call) <= 4
        flat = [one for call in world.wire.calls for one in call]
        assert len(set(world.wire.alone)) == len(world.wire.alone)
        if mode in ("each", "fail"):
            assert len(set(flat)) == len(flat)
            assert not set(flat) & set(world.wire.alone)
        kinds = (Accepted, Throttled, EgressError, asyncio.CancelledError)
        assert all(isinstance(outcome, kinds) for outcome in done)

    asyncio.run(play())
