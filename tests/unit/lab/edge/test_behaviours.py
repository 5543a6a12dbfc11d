"""What attackers count as landed is what reached a server."""

import asyncio
from itertools import repeat

import pytest

from clarion_lab.edge import wire
from clarion_lab.edge.behaviours import Peer, ask, burst, hold, sip, trickle
from tests.security.served import served

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1", "127.0.0.7"]), pytest.mark.slow]
SECONDS = 0.2


async def landed(behave, app=None, **options):
    async with served(*([app] if app else []), **options) as connect:
        peer = Peer("127.0.0.1", connect.port, "127.0.0.7", SECONDS)
        await behave(peer)
        return peer


async def test_a_connection_that_is_held_has_landed_when_its_bytes_were_acknowledged():
    peer = await landed(hold(5, wire.UNSUBSCRIBE, len(wire.UNSUBSCRIBE)))
    assert (peer.landed["connections"], peer.landed["requests"], peer.landed["closed"]) == (5, 5, 0)


async def test_a_connection_that_sends_nothing_has_not_landed_by_its_bytes():
    assert (await landed(hold(5, b""))).landed["connections"] == 0


async def test_a_connection_that_the_server_closes_is_counted():
    peer = await landed(hold(3, wire.AMBIGUOUS["two hosts"]))
    assert peer.landed["closed"] == 3


async def test_requests_sent_ahead_are_counted_one_by_one():
    peer = await landed(burst(2, wire.GET * 10, len(wire.GET), 0.15))
    assert peer.landed["requests"] >= 40


async def test_each_response_is_counted_with_its_status():
    peer = await landed(ask(2, lambda: repeat(wire.GET)))
    assert peer.landed["requests"] == peer.statuses[200] > 10
    peer = await landed(ask(2, lambda: repeat(wire.AMBIGUOUS["two hosts"]), stay=False))
    assert peer.landed["requests"] == peer.statuses[400] > 2


async def test_pieces_and_bytes_are_counted():
    assert (await landed(trickle(3, wire.HEAD_FIRST, b"x: y\r\n", 0.05))).landed["pieces"] >= 3
    assert (await landed(sip(3, wire.GET))).landed["read"] == 3


async def test_a_server_that_is_not_there_ends_no_attacker():
    peer = Peer("127.0.0.1", 1, "127.0.0.7", SECONDS)
    async with asyncio.timeout(5):
        await hold(2, b"x")(peer)
    assert peer.landed["connections"] == 0
