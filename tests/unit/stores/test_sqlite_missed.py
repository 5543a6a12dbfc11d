"""A commit between the reads for two users of one call makes no gap."""

from clarion.ports.inbox_feed import Wanted
from clarion.stores.sqlite import state_missed
from tests.contract import ledgers as world
from tests.contract.inboxes import Inboxes, broadcast
from tests.contract.states import shut, sqlite


async def test_a_broadcast_that_is_recorded_while_users_are_read_for_is_told_next_time(tmp_path, monkeypatch):
    state = sqlite(tmp_path)
    inboxes = Inboxes(state)
    await inboxes.arrive(*broadcast(1, 300))
    before = {person: (await inboxes.reader(person)).position for person in (1, 2, 3)}
    await inboxes.arrive(*broadcast(2, 300))
    read = state_missed.fetch_all
    order = []

    def noted(db, statement, values):
        order.append(statement)
        return read(db, statement, values)

    monkeypatch.setattr(state_missed, "fetch_all", noted)
    found = await state.inbox.missed([Wanted(world.TENANT, f"user-{n}", n, before[n]) for n in before])
    assert [len(one.items) for one in found] == [1, 1, 1]
    # What lies before where a user stands has been committed when it is read: all places are read before anything else.
    assert order[:3] == [state_missed.HEAD] * 3 and state_missed.HEAD not in order[3:]
    await shut(state)
