"""A commit between the reads of one call makes no gap."""

from clarion.ports.inbox_feed import Wanted
from clarion.stores.sqlite import state_missed
from tests.contract import ledgers as world
from tests.contract.inboxes import Inboxes, broadcast, own
from tests.contract.states import shut, sqlite


async def test_a_broadcast_that_is_recorded_while_users_are_read_for_is_told_next_time(tmp_path):
    state = sqlite(tmp_path)
    inboxes = Inboxes(state)
    await inboxes.arrive(*broadcast(1, 300))
    before = {person: (await inboxes.reader(person)).position for person in (1, 2, 3)}
    await inboxes.arrive(*broadcast(2, 300))
    users = [(world.TENANT, f"user-{person}") for person in before]
    now = await state.inbox.positions(users)
    await inboxes.arrive(*broadcast(3, 300))
    wanted = [
        Wanted(*user, person, seen, at) for user, (person, seen), at in zip(users, before.items(), now, strict=True)
    ]
    found = await state.inbox.missed(wanted)
    assert [len(one.items) for one in found] == [1, 1, 1]
    later = [
        one._replace(position=one.now, now=at)
        for one, at in zip(wanted, await state.inbox.positions(users), strict=True)
    ]
    assert [len(one.items) for one in await state.inbox.missed(later)] == [1, 1, 1]
    await shut(state)


async def test_users_with_items_alone_are_read_for_with_one_statement_each(tmp_path, monkeypatch):
    state = sqlite(tmp_path)
    inboxes = Inboxes(state)
    users = [(world.TENANT, f"user-{person}") for person in (1, 2, 3)]
    before = await state.inbox.positions(users)
    await inboxes.arrive(*(own(1, user) for _, user in users))
    now = await state.inbox.positions(users)
    read, statements = state_missed.fetch_all, []
    monkeypatch.setattr(
        state_missed,
        "fetch_all",
        lambda db, statement, values: statements.append(statement) or read(db, statement, values),
    )
    wanted = [Wanted(*user, None, seen, at) for user, seen, at in zip(users, before, now, strict=True)]
    assert [len(one.items) for one in await state.inbox.missed(wanted)] == [1, 1, 1]
    assert len(statements) == 1  # whether the tenant has withdrawn anything
    await shut(state)
