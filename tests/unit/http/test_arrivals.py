"""New connections of a peer come at a rate; those above it wait in order, and beyond a bound they are closed."""

import asyncio
import time

import pytest

from clarion.app.http.arrivals import CONNECTION_LIMIT, Arrivals
from clarion.domain.limits_processes import ARRIVALS_PER_TURN_MAX, NETWORK_PEERS
from clarion.domain.request_rate import RequestRate

PEER, OTHER = ("192.0.2.1", 1), ("192.0.2.2", 1)
SLOW = RequestRate(1, 2)


class One:
    """A connection."""

    closed = False

    def close(self):
        self.closed = True


class Notes:
    """Records the security log."""

    def __init__(self):
        self.lines = []

    def security(self, event, **fields):
        self.lines.append((event.value, fields["reason"], fields["peer"]))


class Door:
    """Arrivals, and the connections that have begun."""

    def __init__(self, rate, waiting_max=8, exempt=()):
        self.notes, self.begun, self.turns = Notes(), [], asyncio.Queue()
        self.arrivals = Arrivals(rate, waiting_max, self.notes, exempt.__contains__, time.monotonic_ns)

    def arrive(self, address=PEER):
        one = One()
        self.arrivals.arrive(one, address, self.begin)
        return one

    def begin(self, connection, peer):
        self.begun.append((connection, peer))
        self.turns.put_nowait(peer)

    def count(self, address):
        return sum(peer == address[0] for _, peer in self.begun)


@pytest.fixture
def door():
    doors = []

    def make(*args, **options):
        doors.append(Door(*args, **options))
        return doors[-1]

    yield make
    for one in doors:
        one.arrivals.close()


async def test_connections_above_the_rate_begin_in_order_when_their_turn_comes(door):
    own = door(RequestRate(100, 2))
    made = [own.arrive() for _ in range(6)]
    assert len(own.begun) == 2
    assert own.arrive(OTHER) == own.begun[-1][0]
    began_s = time.monotonic()
    async with asyncio.timeout(5):
        for _ in range(7):
            await own.turns.get()
    assert time.monotonic() - began_s >= 0.03
    assert [one for one, peer in own.begun if peer == PEER[0]] == made
    assert own.notes.lines == []


async def test_beyond_the_bound_they_are_closed_and_other_peers_wait_beside_them(door):
    own = door(SLOW, 8)
    made = [own.arrive() for _ in range(10)]
    assert [one.closed for one in made] == [False] * 6 + [True] * 4
    assert own.notes.lines == [("request_limit_reached", CONNECTION_LIMIT, PEER[0])] * 4
    others = [own.arrive(OTHER) for _ in range(5)]
    thirds = [own.arrive(("192.0.2.3", 1)) for _ in range(5)]
    assert [one.closed for one in others + thirds] == [False] * 8 + [True] * 2


async def test_a_valid_credential_makes_a_connection_free(door):
    own = door(SLOW)
    for _ in range(50):
        own.arrive()
        own.arrivals.vouch(PEER[0])
    assert own.count(PEER) == 50
    own.arrivals.vouch("192.0.2.9")
    for _ in range(3):
        own.arrive()
    assert own.count(PEER) == 52


async def test_connections_that_wait_begin_when_credentials_make_room(door):
    own = door(RequestRate(20, 2))
    for _ in range(4):
        own.arrive()
    assert own.count(PEER) == 2
    own.arrivals.vouch(PEER[0])
    own.arrivals.vouch(PEER[0])
    await asyncio.sleep(0.06)
    assert own.count(PEER) == 4


@pytest.mark.parametrize(("rate", "exempt"), [(None, ()), (SLOW, {PEER[0]})])
async def test_there_may_be_no_limit(rate, exempt, door):
    own = door(rate, exempt=exempt)
    for _ in range(20):
        own.arrive()
    assert own.count(PEER) == 20


async def test_peers_of_one_network_share_a_limit(door):
    own = door(SLOW, 1_000)
    for number in range(NETWORK_PEERS * 2):
        own.arrive((f"2001:db8:1:{number:x}::1", 1, 0, 0))
    assert len(own.begun) == NETWORK_PEERS * 2
    own.arrive(("2001:db8:1:ffff::1%eth0", 1, 0, 2))
    assert len(own.begun) == NETWORK_PEERS * 2
    own.arrive(("2001:db8:2::1", 1, 0, 0))
    assert len(own.begun) == NETWORK_PEERS * 2 + 1


async def test_few_begin_in_one_turn_of_the_loop(door):
    own = door(RequestRate(1_000, 1), 100)
    for _ in range(ARRIVALS_PER_TURN_MAX * 3):
        own.arrive()
    time.sleep(0.1)  # noqa: ASYNC251 - all of them are due at once
    await asyncio.sleep(0)
    assert len(own.begun) <= 1 + ARRIVALS_PER_TURN_MAX


async def test_none_that_waits_is_left_open(door):
    own = door(SLOW)
    made = [own.arrive() for _ in range(4)]
    own.arrivals.close()
    assert [one.closed for one in made] == [False, False, True, True]
    await asyncio.sleep(0.01)
    assert len(own.begun) == 2
