"""Attempts of a vendor with batch calls share calls, and each has the outcome it would have had alone."""

import asyncio
import json
from types import SimpleNamespace

import msgspec
import pytest

from clarion.deliver.send.worker import Sender
from clarion.domain import ids
from clarion.domain.channel import Channel
from clarion.domain.errors import EgressError, Sent
from clarion.domain.message import HttpResponse
from clarion.domain.outcome import Accepted, Ambiguous, InvalidRecipient, Refused, Transient
from clarion.domain.planned import PlannedDelivery
from clarion.providers.email import postmark
from tests.providers import battery

TABLE = battery.tables()["email_postmark"]
ACCOUNT = battery.account(TABLE)
PARTS = {"subject": "Grüße", "text": "Your order is on its way."}


class Wire:
    """Postmark: accepts every message except those to `dead`."""

    def __init__(self, error=None):
        self.calls, self.tokens, self.error = [], [], error

    async def send(self, request):
        body = json.loads(request.body)
        self.tokens.append(request.headers["x-postmark-server-token"])
        self.calls.append([one["To"] for one in body] if isinstance(body, list) else body["To"])
        if self.error:
            raise self.error
        records = [self._of(one) for one in (body if isinstance(body, list) else [body])]
        return HttpResponse(200, {}, json.dumps(records if isinstance(body, list) else records[0]).encode())

    def _of(self, one):
        if one["To"].startswith("dead"):
            return {"ErrorCode": 406, "Message": f"Found inactive addresses: {one['To']}."}
        return {"ErrorCode": 0, "Message": "OK", "MessageID": one["Metadata"]["delivery_id"]}


def row(number, address):
    delivery = bytes.fromhex(battery.DELIVERY.removeprefix(ids.DELIVERY_PREFIX))[:-1] + bytes([number])
    return PlannedDelivery(delivery, "acme", "ada", address, "en", "hi", "", {}, None, 1, None, None, None, None)


async def attempts(wire, *addresses, urgent=(), rotated=()):
    """Return the outcomes of attempts made at the same time, those to the `rotated` addresses with a newer secret."""
    newer = msgspec.structs.replace(ACCOUNT, credentials={"server_token": "newer"})
    sender = Sender(
        SimpleNamespace(),
        {(Channel.EMAIL, "postmark"): postmark},
        SimpleNamespace(holds=lambda *args: True, render=lambda *args, **more: PARTS),
        wire,
        None,
        SimpleNamespace(now_ms=lambda: battery.NOW_MS),
        SimpleNamespace(log=lambda *args, **fields: None),
    )  # fmt: skip
    made = (
        sender.attempt(Channel.EMAIL, row(number, address), newer if address in rotated else ACCOUNT, address in urgent)
        for number, address in enumerate(addresses)
    )
    return [answer.outcome for answer in await asyncio.gather(*made)]


async def test_attempts_at_the_same_time_are_one_call_and_end_each_in_its_own_way():
    wire = Wire()
    a, dead, b = await attempts(wire, "a@x.example", "dead@x.example", "b@x.example")
    assert wire.calls == [["a@x.example", "dead@x.example", "b@x.example"]]
    assert a == Accepted(ids.write(ids.DELIVERY_PREFIX, row(0, "").delivery_id))
    assert b == Accepted(ids.write(ids.DELIVERY_PREFIX, row(2, "").delivery_id))
    assert isinstance(dead, InvalidRecipient)


async def test_an_urgent_attempt_goes_alone():
    wire = Wire()
    records = await attempts(wire, "a@x.example", "u@x.example", "b@x.example", urgent=["u@x.example"])
    assert {type(outcome) for outcome in records} == {Accepted}
    assert wire.calls == ["u@x.example", ["a@x.example", "b@x.example"]]


async def test_a_message_that_cannot_be_built_fails_alone():
    wire = Wire()
    records = await attempts(wire, "a@x.example", "nobody", "b@x.example")
    assert [type(outcome) for outcome in records] == [Accepted, Refused, Accepted]
    assert records[1].reason == "unbuildable"
    assert sorted(wire.calls) == ["a@x.example", "b@x.example"]


@pytest.mark.parametrize(("sent", "expected"), [(Sent.NO, Transient), (Sent.MAYBE, Ambiguous)])
async def test_a_call_that_fails_means_the_same_for_each(sent, expected):
    wire = Wire(EgressError("no route", sent=sent))
    assert await attempts(wire, "a@x.example", "b@x.example") == [expected("no route")] * 2
    assert len(wire.calls) == 1


async def test_a_call_has_the_secret_of_its_newest_message():
    wire = Wire()
    await attempts(wire, "a@x.example", "b@x.example", rotated=["b@x.example"])
    assert (wire.calls, wire.tokens) == ([["a@x.example", "b@x.example"]], ["newer"])
