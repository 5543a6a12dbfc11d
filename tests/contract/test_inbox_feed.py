"""What a gateway follows: signals of changed inboxes, and what lies after the positions of many users."""

import asyncio
from pathlib import Path

import pytest

from clarion.domain.delivery_state import State
from clarion.domain.inbox import Horizon, Mark, Position, tenant_bucket, user_bucket
from clarion.domain.limits_processes import INBOX_MISSED_MAX
from clarion.ports.inbox_feed import Missed, Wanted
from clarion.ports.state import Advance
from clarion.record.gather import OpenRows
from tests.contract import ledgers as world
from tests.contract.backends import SHARED
from tests.contract.inboxes import Inboxes, broadcast, broadcast_id, own, released
from tests.contract.states import STATES, shut
from tests.folding import fold_on

PORT = "inbox_feed"


class Client:
    """Someone who follows one inbox by positions alone."""

    def __init__(self, inboxes: Inboxes, person: int = 1, tenant: str = world.TENANT) -> None:
        self.inboxes, self.person, self.tenant = inboxes, person, tenant
        self.position = Position(b"", 0, 0)

    async def start(self) -> "Client":
        self.position = (await self.inboxes.reader(self.person, tenant=self.tenant)).position
        return self

    async def wanted(self) -> Wanted:
        user = self.tenant, f"user-{self.person}"
        (now,) = await self.inboxes.state.inbox.positions([user])
        return Wanted(*user, self.person, self.position, now)

    async def ask(self) -> Missed:
        (missed,) = await self.inboxes.state.inbox.missed([await self.wanted()])
        self.position = missed.position
        return missed


def titles(missed: Missed) -> list[str]:
    found = [item.content.split(b'"title":"')[1].split(b'"')[0].decode() for item in missed.items]
    return [title.removeprefix("en ").removeprefix("de ") for title in found]


@pytest.fixture
def inboxes(state):
    return Inboxes(state)


async def test_each_change_is_told_once_and_in_order(inboxes):
    await inboxes.arrive(own(9), *broadcast(8, 50))
    client = await Client(inboxes).start()
    assert (await client.ask()).is_empty()
    await inboxes.arrive(own(3))
    await inboxes.arrive(*broadcast(2, 50))
    await inboxes.arrive(own(1), own(1, "user-2"), own(4, tenant="other"))
    missed = await client.ask()
    assert (titles(missed), missed.marks, missed.horizon, missed.withdrawn) == (["own 3", "2", "own 1"], [], None, [])
    assert (await client.ask()).is_empty()


async def test_marks_follow_in_other_tabs(inboxes):
    await inboxes.arrive(own(1), *broadcast(2, 300))
    client = await Client(inboxes).start()
    ids = [entry.item.item_id for entry in await inboxes.listed()]
    await inboxes.state.inbox.mark(world.TENANT, "user-1", [Mark(ids[0], seen_ms=5, read_ms=5)])
    await inboxes.state.inbox.mark(world.TENANT, "user-1", [Mark(ids[1], archived_ms=6)])
    await inboxes.state.inbox.mark(world.TENANT, "user-2", [Mark(ids[1], archived_ms=6)])
    missed = await client.ask()
    assert sorted(mark.item_id for mark in missed.marks) == sorted(ids)
    assert missed.items == []
    own_seq, shared_seq = client.position.own, client.position.shared
    await inboxes.state.inbox.read_all(world.TENANT, "user-1", Horizon(own_seq, shared_seq, 7))
    missed = await client.ask()
    assert (missed.horizon, missed.marks) == (Horizon(own_seq, shared_seq, 7, own_seq + 1), [])
    assert (await client.ask()).is_empty()


async def test_a_withdrawal_is_told_and_what_it_is_of_never_arrives(inboxes):
    await inboxes.arrive(own(1), *broadcast(2, 300))
    client = await Client(inboxes).start()
    for number in (1, 2, 3):
        await inboxes.state.inbox.withdraw(world.TENANT, broadcast_id(number), 5)
    assert (await client.ask()).withdrawn == [broadcast_id(number) for number in (1, 2, 3)]
    await inboxes.arrive(own(3), own(4))
    missed = await client.ask()
    assert (titles(missed), list(missed.withdrawn)) == (["own 4"], [])


async def test_a_held_delivery_is_told_when_it_arrives(inboxes):
    held = broadcast(1, 300, state=State.HELD)
    await inboxes.arrive(*held, *broadcast(2, 300))
    client, later = await Client(inboxes).start(), await Client(inboxes, 3).start()
    await inboxes.arrive(released(held[1], [1], world.AT_MS + 500))
    assert titles(await client.ask()) == ["1"]
    assert titles(await later.ask()) == []
    await inboxes.arrive(released(held[1], [3], world.AT_MS + 900))
    assert titles(await client.ask()) == []
    assert titles(await later.ask()) == ["1"]


async def test_many_users_of_many_tenants_are_answered_in_one_call(inboxes):
    clients = [await Client(inboxes, person).start() for person in (1, 2, 3, 300, 301)]
    others = [await Client(inboxes, person, "other").start() for person in (1, 2)]
    await inboxes.arrive(*broadcast(1, 50), *(own(2, f"user-{person}") for person in (1, 3, 301)))
    await inboxes.arrive(own(3, "user-1", tenant="other"))
    wanted = [await client.wanted() for client in (*clients, *others)]
    found = await inboxes.state.inbox.missed(wanted)
    assert [sorted(titles(one)) for one in found] == [
        ["1", "own 2"], ["1"], ["1", "own 2"], ["1"], ["own 2"], ["own 3"], [],
    ]  # fmt: skip
    assert await inboxes.state.inbox.missed([]) == []
    unstored = [one._replace(ordinal=None) for one in wanted[:2]]
    assert [titles(one) for one in await inboxes.state.inbox.missed(unstored)] == [["own 2"], []]


async def test_a_position_of_another_epoch_ahead_or_far_behind_means_reload(inboxes):
    await inboxes.arrive(own(1), *broadcast(2, 300))
    client = await Client(inboxes).start()
    here = client.position
    for wrong in (here._replace(epoch=b"elsewher"), here._replace(own=99), here._replace(shared=99)):
        client.position = wrong
        assert await client.ask() == Missed(here, reload=True)
    await inboxes.arrive(*(own(number) for number in range(3, INBOX_MISSED_MAX + 3)))
    client.position = here
    assert len((await client.ask()).items) == INBOX_MISSED_MAX
    await inboxes.arrive(own(INBOX_MISSED_MAX + 4))
    client.position = here
    assert (await client.ask()).reload
    assert (await client.ask()).is_empty()


async def test_a_client_that_asks_now_and_then_misses_and_repeats_nothing(inboxes):
    clients = [await Client(inboxes, person).start() for person in (1, 2)]
    got: list[list[str]] = [[], []]
    for turn in range(1, 13):
        await inboxes.arrive(
            own(turn + 100), *(broadcast(turn, 300) if turn % 3 == 0 else ()), own(turn + 200, "user-2")
        )
        for number, client in enumerate(clients):
            if turn % (number + 2) == 0:
                got[number] += titles(await client.ask())
    for number, client in enumerate(clients):
        assert got[number] == (await inboxes.titles(ordinal=client.person))[::-1]


async def test_folds_at_once_give_places_that_a_reader_neither_misses_nor_sees_twice(inboxes):
    state, people = inboxes.state, (1, 2, 3)
    clients = [await Client(inboxes, person).start() for person in people]
    got: dict[int, list[str]] = {person: [] for person in people}

    async def fold(partition: int) -> None:
        for turn in range(8):
            number = 100 + 10 * partition + turn
            users = [f"user-{person}" for person in (people if turn % 2 else people[::-1])]
            frames = [*(own(number, user) for user in users), *(broadcast(number, 300) if turn % 4 == 0 else ())]
            offset = 100 * turn
            stored = world.stored(frames, offset + 1, partition)
            await fold_on(stored, state.ledger, OpenRows(), [Advance(partition, offset, offset + 100, fence=1)])

    folds = asyncio.gather(*map(fold, range(4)))
    while not folds.done():
        for client in clients:
            got[client.person] += titles(await client.ask())
        await asyncio.sleep(0)
    await folds
    for client in clients:
        got[client.person] += titles(await client.ask())
        shown = await inboxes.titles(ordinal=client.person)
        assert len(shown) == 4 * (8 + 2)
        assert sorted(got[client.person]) == sorted(shown)
        assert client.position[1:] == (4 * 8, 4 * 2 * len(broadcast(1, 300)))


class Heard:
    """What a listener heard."""

    def __init__(self) -> None:
        self.users: set[int] = set()
        self.tenants: set[int] = set()
        self.all = 0
        self.calls = 0
        self._news = asyncio.Event()

    def __call__(self, changed) -> None:
        self.users |= changed.users
        self.tenants |= changed.tenants
        self.all += changed.all
        self.calls += 1
        self._news.set()

    async def until(self, probe) -> None:
        async with asyncio.timeout(10):
            while not probe():
                self._news.clear()
                await self._news.wait()


async def changes(inboxes: Inboxes) -> None:
    """Change inboxes in every way."""
    await inboxes.arrive(own(1), own(2, "user-2"))
    await inboxes.arrive(*broadcast(3, 300, tenant="fanned"))
    await inboxes.state.inbox.mark(world.TENANT, "user-3", [Mark(b"i" * 24, read_ms=1)])
    await inboxes.state.inbox.read_all(world.TENANT, "user-4", Horizon(1, 1, 1))
    await inboxes.state.inbox.withdraw("withdrawing", broadcast_id(5), 1)


USERS = {user_bucket(world.TENANT, f"user-{person}") for person in (1, 2, 3, 4)}
TENANTS = {tenant_bucket("fanned"), tenant_bucket("withdrawing")}


async def test_a_process_hears_of_its_own_changes(inboxes):
    heard, signal = Heard(), inboxes.state.inbox_signal
    signal.listen(heard)
    await heard.until(lambda: heard.all)
    await changes(inboxes)
    await heard.until(lambda: heard.users >= USERS and heard.tenants >= TENANTS)
    assert (heard.users, heard.tenants) == (USERS, TENANTS)
    await signal.close()
    calls = heard.calls
    await inboxes.arrive(own(9))
    await asyncio.sleep(0.02)
    assert heard.calls == calls


@pytest.mark.needs_trait(SHARED)
@pytest.mark.parametrize("name", STATES)
async def test_a_process_hears_of_the_changes_of_others(name, tmp_path: Path):
    writer, follower = STATES[name](tmp_path), STATES[name](tmp_path)
    heard = Heard()
    follower.inbox_signal.listen(heard)
    inboxes = Inboxes(writer)
    await heard.until(lambda: heard.all)
    await changes(inboxes)
    await heard.until(lambda: heard.users >= USERS and heard.tenants >= TENANTS)
    assert (heard.users, heard.tenants) == (USERS, TENANTS)
    await inboxes.arrive(*(own(number, f"user-{number}") for number in range(500)))
    everyone = {user_bucket(world.TENANT, f"user-{number}") for number in range(500)}
    await heard.until(lambda: heard.all > 1 or heard.users >= everyone)
    before = heard.all
    await inboxes.arrive(*(own(number + 1_000, f"user-{number}") for number in range(2_500)))
    await heard.until(lambda: heard.all > before)
    await follower.inbox_signal.close()
    await shut(follower)
    await shut(writer)
