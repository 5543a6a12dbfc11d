"""New connections of a peer come at a rate; those above it wait in order, and beyond a bound they are closed."""

import asyncio
import time

import pytest

from clarion.domain.limits_processes import ARRIVALS_PER_TURN_MAX, NETWORK_PEERS, VOUCHED_RATE_FACTOR
from clarion.domain.request_rate import RequestRate
from clarion.edge.arrivals import CONNECTION_LIMIT, Arrivals

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

    def __init__(self, rate, waiting_max=32, exempt=()):
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


async def turns(number=60):
    """Let some turns of the loop pass."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_connections_above_the_rate_begin_in_order_when_their_turn_comes(door):
    own = door(RequestRate(100, 2), 64)
    made = [own.arrive() for _ in range(6)]
    await turns()
    assert len(own.begun) == 2
    began_s = time.monotonic()
    last = own.arrive(OTHER)
    await turns()
    assert own.begun[-1] == (last, OTHER[0]), "another peer does not wait for this one's rate"
    async with asyncio.timeout(5):
        for _ in range(7):
            await own.turns.get()
    assert time.monotonic() - began_s >= 0.03
    assert [one for one, peer in own.begun if peer == PEER[0]] == made
    assert own.notes.lines == []


async def test_beyond_the_bound_they_are_closed_and_other_peers_wait_beside_them(door):
    own = door(SLOW, 64)
    made = [own.arrive() for _ in range(10)]
    await turns()
    assert [one.closed for one in made] == [False] * 6 + [True] * 4
    assert own.notes.lines == [("request_limit_reached", CONNECTION_LIMIT, PEER[0])] * 4
    made += [own.arrive(), own.arrive()]
    assert [one.closed for one in made[10:]] == [True] * 2
    others = [own.arrive((f"192.0.2.{number}", 1)) for number in range(2, 14) for _ in range(5)]
    await turns()
    late = len(made + others) - len(own.begun) - sum(one.closed for one in made + others)
    assert late == 32, "so many wait in all"
    assert len(own.begun) == 2 * 13


async def test_a_flood_of_one_peer_does_not_delay_another(door):
    own = door(None)
    for _ in range(100):
        own.arrive()
    own.arrive(OTHER)
    await turns(2)
    assert own.count(OTHER) == 1
    assert own.count(PEER) <= 3 * ARRIVALS_PER_TURN_MAX


async def test_connections_that_cannot_begin_yet_keep_no_other_peer_from_being_accepted(door):
    own = door(None, 40)
    own.arrivals.can_begin = lambda peer: peer != PEER[0]
    held = [own.arrive() for _ in range(40)]
    await turns()
    async with asyncio.timeout(1):
        await own.arrivals.room()
    own.arrive(OTHER)
    await turns()
    assert (own.count(PEER), own.count(OTHER)) == (0, 1)
    assert sum(one.closed for one in held) == 20, "half of those that may wait like this"
    own.arrivals.can_begin = lambda _peer: True
    async with asyncio.timeout(5):
        for _ in range(21):
            await own.turns.get()
    assert [one for one, peer in own.begun if peer == PEER[0]] == held[:20]


async def test_few_begin_in_each_turn_of_the_loop(door):
    own, before = door(None), 0
    for _ in range(20):
        own.arrive()
    for _ in range(20 // ARRIVALS_PER_TURN_MAX):
        assert len(own.begun) - before <= ARRIVALS_PER_TURN_MAX
        before = len(own.begun)
        await asyncio.sleep(0)
    await turns()
    assert len(own.begun) == 20


async def test_no_more_are_accepted_while_many_wait_for_their_turn(door):
    own = door(None, 18)
    for _ in range(9 + ARRIVALS_PER_TURN_MAX):
        own.arrive()
    waiting = asyncio.create_task(own.arrivals.room())
    await asyncio.sleep(0)
    before = len(own.begun)
    async with asyncio.timeout(1):
        await waiting
    assert before <= ARRIVALS_PER_TURN_MAX * 2
    assert len(own.begun) > ARRIVALS_PER_TURN_MAX


async def test_a_valid_credential_makes_a_connection_free(door):
    own = door(SLOW)
    for _ in range(50):
        own.arrive()
        await turns(3)
        own.arrivals.vouch(PEER[0])
    assert own.count(PEER) == 50
    own.arrivals.vouch("192.0.2.9")
    for _ in range(20):
        own.arrive()
    await turns()
    assert own.count(PEER) == 50 + 2 * VOUCHED_RATE_FACTOR


async def test_an_address_with_a_valid_credential_has_a_higher_rate(door):
    own = door(RequestRate(1, 2), 10_000)
    own.arrivals.vouch(PEER[0])
    for _ in range(100):
        own.arrive()
        own.arrive(OTHER)
    await turns(200)
    assert (own.count(PEER), own.count(OTHER)) == (2 * VOUCHED_RATE_FACTOR, 2)


async def test_more_of_an_address_with_a_valid_credential_may_wait(door):
    own = door(SLOW, 64)
    own.arrivals.vouch(PEER[0])
    made = [own.arrive() for _ in range(2 * VOUCHED_RATE_FACTOR + 33)]
    await turns()
    assert [one.closed for one in made] == [False] * (len(made) - 1) + [True]


async def test_what_a_listener_cannot_begin_waits_and_delays_no_other_peer(door):
    own, full = door(None), True
    own.arrivals.can_begin = lambda peer: peer != PEER[0] or not full
    late = own.arrive()
    own.arrive(OTHER)
    await turns()
    assert [peer for _, peer in own.begun] == [OTHER[0]]
    full = False
    async with asyncio.timeout(1):
        await own.turns.get()
        await own.turns.get()
    assert own.begun[-1] == (late, PEER[0])


async def test_connections_that_wait_begin_when_credentials_make_room(door):
    own = door(RequestRate(20, 2))
    for _ in range(4):
        own.arrive()
    await turns()
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
    await turns()
    assert own.count(PEER) == 20


async def test_peers_of_one_network_share_a_limit(door):
    own = door(SLOW, 1_000)
    for number in range(NETWORK_PEERS * 2):
        own.arrive((f"2001:db8:1:{number:x}::1", 1, 0, 0))
    await turns()
    assert len(own.begun) == NETWORK_PEERS * 2
    own.arrive(("2001:db8:1:ffff::1%eth0", 1, 0, 2))
    await turns()
    assert len(own.begun) == NETWORK_PEERS * 2
    own.arrive(("2001:db8:2::1", 1, 0, 0))
    await turns()
    assert len(own.begun) == NETWORK_PEERS * 2 + 1


async def test_none_that_waits_is_left_open(door):
    own = door(SLOW)
    made = [own.arrive() for _ in range(4)]
    await turns()
    made.append(own.arrive(OTHER))
    made += [own.arrive(OTHER) for _ in range(3)]
    begun = len(own.begun)
    own.arrivals.close()
    assert [one.closed for one in made[:4]] == [False, False, True, True]
    assert sum(one.closed for one in made) == len(made) - begun
    await asyncio.sleep(0.01)
    assert len(own.begun) == begun
