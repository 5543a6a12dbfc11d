"""The inbox of the state store: items in the order of their arrival, broadcasts found by ordinal, and marks."""

import msgspec
import pytest

from clarion.domain.delivery_state import Event, State
from clarion.domain.inbox import Horizon, ItemPlace, Mark
from clarion.inbox.rules.inbox import UNREAD, ItemFilter
from tests.contract import ledgers as world
from tests.contract.inboxes import LOCALES, PEOPLE, Inboxes, broadcast, broadcast_id, own, released

PORT = "inbox"


@pytest.fixture
def inboxes(state):
    return Inboxes(state)


async def scan(state, ordinal, **given):
    values = {"before": None, "floor": None, "limit": 20, "tenant": world.TENANT, **given}
    return await state.inbox.broadcasts(
        values["tenant"], f"user-{ordinal}", ordinal, values["before"], values["floor"], values["limit"]
    )


def titles(items):
    return [msgspec.json.decode(item.content)["title"] for item in items]


async def test_everyone_finds_each_broadcast_once_in_their_own_chunk(state):
    await world.fold_all(state, [world.stored([*broadcast(1, 50), *broadcast(2, 7), *broadcast(3, 300)])])
    for ordinal in range(1, PEOPLE + 1):
        held = await scan(state, ordinal)
        locale = LOCALES[ordinal % 2]
        assert titles(held.items) == [f"{locale} {n}" for n in (3, 2, 1)]
        assert held.floor is None
        assert [item.created_ms - world.AT_MS for item in held.items] == [3, 2, 1]
        assert {item.category for item in held.items} == {"news"}


async def test_nobody_else_finds_them(state):
    await world.fold_all(state, [world.stored(broadcast(1, 50))])
    assert await scan(state, PEOPLE + 1) == ([], None)
    assert await scan(state, 1, tenant="other") == ([], None)


async def test_what_was_not_sent_is_not_shown(state):
    await world.fold_all(state, [world.stored(broadcast(1, 50, state=State.SKIPPED))])
    assert await scan(state, 1) == ([], None)


async def test_pages_of_broadcasts_continue_where_the_last_ended(state):
    await world.fold_all(state, [world.stored([frame for n in range(1, 6) for frame in broadcast(n, 150)])])
    seen, floor = [], None
    while True:
        found = await scan(state, 5, floor=floor, limit=2)
        seen += titles(found.items)
        floor = found.floor
        if floor is None:
            break
    assert seen == [f"de {n}" for n in (5, 4, 3, 2, 1)]


async def test_content_of_each_user_is_their_own(state):
    first = broadcast(1, 300)[0]
    first.users = [{"title": f"Hello {name}"} for name in first.user_ids]
    await world.fold_all(state, [world.stored([first])])
    assert titles((await scan(state, 42)).items) == ["Hello user-42"]


async def test_own_items_come_from_accepted_inapp_deliveries(state):
    accepted = world.attempted(1, Event.ACCEPTED, channel="inapp", vendor="inapp", content={"title": "Hi"})
    await world.fold_all(state, [world.stored([world.planned(1), accepted, accepted])])
    (item,) = await state.inbox.items(world.TENANT, "user-1", None, 10)
    assert (item.item_id, msgspec.json.decode(item.content)) == (world.SINGLE_IDS[1], {"title": "Hi"})
    assert (item.category, item.expires_ms, item.place) == ("", None, ItemPlace(0, 1))
    assert await state.inbox.items(world.TENANT, "user-1", item.place, 10) == []
    assert await state.inbox.find(world.TENANT, "user-1", None, [item.item_id]) == {item.item_id: item}
    assert await state.inbox.find(world.TENANT, "user-2", None, [item.item_id]) == {}
    assert await state.inbox.find("other", "user-1", None, [item.item_id]) == {}


async def test_an_item_of_a_broadcast_is_only_its_users(state):
    await world.fold_all(state, [world.stored(broadcast(1, 50))])
    ((held,), _) = await scan(state, 7)
    assert await state.inbox.find(world.TENANT, "user-7", 7, [held.item_id, b"x" * 24]) == {held.item_id: held}
    assert await state.inbox.find(world.TENANT, "user-8", 8, [held.item_id]) == {}
    assert await state.inbox.find(world.TENANT, "user-7", None, [held.item_id]) == {}


async def test_items_stand_in_the_order_of_their_arrival_whatever_their_ids(inboxes):
    await inboxes.arrive(own(5))
    await inboxes.arrive(*broadcast(3, 100))
    await inboxes.arrive(own(1), own(9))
    await inboxes.arrive(*broadcast(2, 100))
    await inboxes.arrive(own(4))
    order = ["own 4", "2", "own 9", "own 1", "3", "own 5"]
    assert await inboxes.titles() == order
    for limit in range(1, 7):
        assert await inboxes.titles(limit=limit) == order


async def test_a_delivery_that_was_held_arrives_when_it_is_sent(inboxes):
    held = broadcast(1, 300, state=State.HELD)
    await inboxes.arrive(*held, *broadcast(2, 300), own(3))
    assert await inboxes.titles() == ["own 3", "2"]
    await inboxes.arrive(released(held[1], [1, 5], world.AT_MS + 500))
    await inboxes.arrive(own(4), own(4, "user-3"))
    await inboxes.arrive(released(held[1], [3], world.AT_MS + 900))
    assert await inboxes.titles() == ["own 4", "1", "own 3", "2"]
    assert await inboxes.titles(ordinal=3) == ["1", "own 4", "2"]
    (late, *_) = await inboxes.listed(ordinal=3)
    assert late.item.created_ms == world.AT_MS + 900
    assert await inboxes.titles(ordinal=7) == ["2"]


async def test_everything_after_a_position_is_found_and_nothing_else(inboxes):
    await inboxes.arrive(own(9), *broadcast(5, 50))
    before = (await inboxes.reader()).position
    assert await inboxes.titles(ItemFilter("all", since=before)) == []
    await inboxes.arrive(*broadcast(1, 50), own(2), own(2, "user-2"), own(3, tenant="other"))
    await inboxes.arrive(*broadcast(3, 50, tenant="other"))
    assert await inboxes.titles(ItemFilter("all", since=before)) == ["own 2", "1"]
    now = (await inboxes.reader()).position
    assert (now.own - before.own, now.shared - before.shared) == (1, len(broadcast(1, 50)))
    assert before.precedes(now) and not now.precedes(before)
    assert not before._replace(epoch=b"other   ").precedes(now)


async def test_what_arrives_after_read_all_is_unread_however_old_it_is(inboxes):
    await inboxes.arrive(own(5), *broadcast(6, 300))
    own_seq, shared_seq = (await inboxes.reader()).position[1:]
    await inboxes.state.inbox.read_all(world.TENANT, "user-1", Horizon(own_seq, shared_seq, 77))
    await inboxes.arrive(own(1), *broadcast(2, 300))
    assert await inboxes.titles(ItemFilter(UNREAD)) == ["own 1", "2"]
    assert [entry.read_ms for entry in await inboxes.listed()][2:] == [77, 77]


async def test_the_first_seeing_stands_and_undoing_works(state):
    item, user = b"i" * 24, "user-1"

    async def marks(of=user):
        return (await state.inbox.facts(world.TENANT, of, [item])).marks

    await state.inbox.mark(world.TENANT, user, [Mark(item, seen_ms=5)])
    await state.inbox.mark(world.TENANT, user, [Mark(item, seen_ms=9, read_ms=9)])
    assert await marks() == {item: Mark(item, 5, 9, read_seq=2)}
    await state.inbox.mark(world.TENANT, user, [Mark(item, read_ms=0, archived_ms=11)])
    await state.inbox.mark(world.TENANT, user, [Mark(item, read_ms=12, archived_ms=13, snoozed_ms=5, deleted_ms=6)])
    assert await marks() == {item: Mark(item, 5, 12, 11, 5, 6, read_seq=4)}
    await state.inbox.mark(world.TENANT, user, [Mark(item, archived_ms=0, snoozed_ms=0, deleted_ms=7)])
    assert await marks() == {item: Mark(item, 5, 12, 0, 0, 6, read_seq=4)}
    assert await marks("user-2") == {}
    assert (await state.inbox.head(world.TENANT, user)).position.own == 5


async def test_many_marks_are_one_step(state):
    ids = [bytes([n]) * 24 for n in range(100)]
    await state.inbox.mark(world.TENANT, "user-1", [Mark(id_, read_ms=7) for id_ in ids])
    found = (await state.inbox.facts(world.TENANT, "user-1", ids)).marks
    assert found == {id_: Mark(id_, read_ms=7, read_seq=1) for id_ in ids}
    assert (await state.inbox.head(world.TENANT, "user-1")).position.own == 1
    assert (await state.inbox.head(world.TENANT, "user-2")).position.own == 0
    assert (await state.inbox.head("other", "user-1")).position.own == 0


async def test_the_horizon_only_rises_and_remembers_when_it_was_set(state):
    user = "user-1"
    await state.inbox.read_all(world.TENANT, user, Horizon(5, 3, 100))
    await state.inbox.read_all(world.TENANT, user, Horizon(4, 3, 200))
    assert (await state.inbox.head(world.TENANT, user)).horizon == Horizon(5, 3, 100, 2)
    await state.inbox.read_all(world.TENANT, user, Horizon(4, 8, 300))
    assert (await state.inbox.head(world.TENANT, user)).horizon == Horizon(5, 8, 300, 3)
    assert (await state.inbox.head("other", user)).horizon is None


async def test_a_withdrawn_notification_is_in_no_inbox_even_when_it_arrives_later(inboxes):
    await inboxes.arrive(own(1), own(1, "user-2"), *broadcast(2, 100), own(3))
    before = (await inboxes.reader()).position
    for id_ in (broadcast_id(1), broadcast_id(2), broadcast_id(2), broadcast_id(4)):
        await inboxes.state.inbox.withdraw(world.TENANT, id_, 5)
    assert await inboxes.titles() == ["own 3"]
    assert await inboxes.titles(ordinal=2) == []
    await inboxes.arrive(own(4), *broadcast(5, 100, tenant="other"))
    assert await inboxes.titles() == ["own 3"]
    assert (await inboxes.reader()).position.shared == before.shared + 3
    await inboxes.state.inbox.withdraw("other", broadcast_id(3), 5)
    assert await inboxes.titles() == ["own 3"]


async def test_the_newest_item_with_a_collapse_key_replaces_all_others(inboxes):
    order = {"collapse_key": "order-7"}
    await inboxes.arrive(own(1, **order), own(2, collapse_key="order-8"), own(1, "user-2", **order))
    await inboxes.arrive(own(3, **order), own(4))
    assert await inboxes.titles() == ["own 4", "own 3", "own 2"]
    for limit in (1, 2):
        assert await inboxes.titles(limit=limit) == ["own 4", "own 3", "own 2"]
    await inboxes.arrive(*broadcast(5, 100, **order), *broadcast(6, 100))
    assert await inboxes.titles() == ["6", "5", "own 4", "own 2"]
    await inboxes.arrive(own(7, **order))
    assert await inboxes.titles() == ["own 7", "6", "own 4", "own 2"]
    assert await inboxes.titles(ordinal=2) == ["6", "5"]


async def test_an_item_leaves_when_it_expires(inboxes):
    chunks = broadcast(2, 300)
    for chunk in chunks:
        chunk.expires_ms = 1_000
    await inboxes.arrive(own(1, expires_ms=2_000), *chunks, own(3))
    assert await inboxes.titles(now_ms=999) == ["own 3", "own 1", "2"]
    assert await inboxes.titles(now_ms=1_000) == ["own 3", "own 1"]
    assert await inboxes.titles(now_ms=2_000) == ["own 3"]


async def test_requests_are_those_of_the_tenants_notifications(state):
    await world.fold_all(state, [world.stored([world.planned(0), world.planned(1)])])
    found = await state.inbox.requests(world.TENANT, world.NOTIFICATIONS)
    assert set(found) == set(world.NOTIFICATIONS[:2])
    assert await state.inbox.requests("other", world.NOTIFICATIONS) == {}
