"""The inbox of the state store: items of the user, broadcasts found by ordinal, and marks."""

import msgspec

from clarion.domain import ids
from clarion.domain.delivery_state import Event, State
from clarion.journal import events
from clarion.ports.inbox import Horizon, Mark
from tests.contract import ledgers as world

PORT = "inbox"
PEOPLE = 300
LOCALES = ("en", "de")


def broadcast(number: int, size: int, *, state: int = State.SENT) -> list[events.ChunkFrame]:
    """Frames of an in-app broadcast to ordinals 1..PEOPLE, `size` users a page and one chunk per page and locale."""
    id_ = ids.notification_id(world.AT_MS + number, 0, bytes([number]) * 9)
    made = []
    for first in range(1, PEOPLE + 1, size):
        for which, locale in enumerate(LOCALES):
            people = [n for n in range(first, min(first + size, PEOPLE + 1)) if n % 2 == which]
            made.append(
                events.ChunkFrame(
                    id_ + f"{first:05}".encode() + locale.encode() + b".", world.TENANT, "inapp", locale,
                    {"title": f"{locale} {number}"}, "news", {}, world.AT_MS + number, None, None, people,
                    [f"user-{n}" for n in people], bytes([state]) * len(people), bytes(len(people)), [], [],
                )
            )  # fmt: skip
    return made


async def test_everyone_finds_each_broadcast_once_in_their_own_chunk(state):
    await world.fold_all(state, [world.stored([*broadcast(1, 50), *broadcast(2, 7), *broadcast(3, 300)])])
    for ordinal in range(1, PEOPLE + 1):
        held, following = await state.inbox.broadcasts(world.TENANT, f"user-{ordinal}", ordinal, None, 20)
        locale = LOCALES[ordinal % 2]
        assert [item.content for item in held] == [{"title": f"{locale} {n}"} for n in (3, 2, 1)]
        assert following is None
        assert [ids.created_ms(item.item_id) - world.AT_MS for item in held] == [3, 2, 1]


async def test_nobody_else_finds_them(state):
    await world.fold_all(state, [world.stored(broadcast(1, 50))])
    assert await state.inbox.broadcasts(world.TENANT, "user-301", PEOPLE + 1, None, 20) == ([], None)
    assert await state.inbox.broadcasts("other", "user-1", 1, None, 20) == ([], None)


async def test_what_was_not_sent_is_not_shown(state):
    await world.fold_all(state, [world.stored(broadcast(1, 50, state=State.SKIPPED))])
    assert await state.inbox.broadcasts(world.TENANT, "user-1", 1, None, 20) == ([], None)


async def test_pages_of_broadcasts_continue_where_the_last_ended(state):
    await world.fold_all(state, [world.stored([frame for n in range(1, 6) for frame in broadcast(n, 150)])])
    seen, before = [], None
    while True:
        held, before = await state.inbox.broadcasts(world.TENANT, "user-5", 5, before, 2)
        seen += [item.content["title"] for item in held]
        if before is None:
            break
    assert seen == [f"de {n}" for n in (5, 4, 3, 2, 1)]


async def test_content_of_each_user_is_their_own(state):
    first = broadcast(1, 300)[0]
    first.users = [{"title": f"Hello {name}"} for name in first.user_ids]
    await world.fold_all(state, [world.stored([first])])
    held, _ = await state.inbox.broadcasts(world.TENANT, "user-42", 42, None, 20)
    assert [item.content for item in held] == [{"title": "Hello user-42"}]


async def test_own_items_come_from_accepted_inapp_deliveries(state):
    accepted = world.attempted(1, Event.ACCEPTED, channel="inapp", vendor="inapp", content={"title": "Hi"})
    await world.fold_all(state, [world.stored([world.planned(1), accepted, accepted])])
    (item,) = await state.inbox.items(world.TENANT, "user-1", None, 10)
    assert (item.item_id, msgspec.json.decode(item.content)) == (world.SINGLE_IDS[1], {"title": "Hi"})
    assert await state.inbox.items(world.TENANT, "user-1", item.item_id, 10) == []
    assert await state.inbox.item(world.TENANT, "user-1", None, item.item_id)
    assert not (await state.inbox.item(world.TENANT, "user-2", None, item.item_id))
    assert not (await state.inbox.item("other", "user-1", None, item.item_id))


async def test_an_item_of_a_broadcast_is_only_its_users(state):
    await world.fold_all(state, [world.stored(broadcast(1, 50))])
    (held,), _ = await state.inbox.broadcasts(world.TENANT, "user-7", 7, None, 20)
    assert await state.inbox.item(world.TENANT, "user-7", 7, held.item_id)
    assert not (await state.inbox.item(world.TENANT, "user-8", 8, held.item_id))
    assert not (await state.inbox.item(world.TENANT, "user-7", None, held.item_id))


async def test_the_first_seeing_stands_and_undoing_works(state):
    item, user = b"i" * 24, "user-1"
    await state.inbox.mark(world.TENANT, user, Mark(item, seen_ms=5))
    await state.inbox.mark(world.TENANT, user, Mark(item, seen_ms=9, read_ms=9))
    assert await state.inbox.marks(world.TENANT, user, [item]) == {item: Mark(item, 5, 9, None)}
    await state.inbox.mark(world.TENANT, user, Mark(item, read_ms=0, archived_ms=11))
    await state.inbox.mark(world.TENANT, user, Mark(item, read_ms=12, archived_ms=13))
    assert await state.inbox.marks(world.TENANT, user, [item]) == {item: Mark(item, 5, 12, 11)}
    await state.inbox.mark(world.TENANT, user, Mark(item, archived_ms=0))
    assert await state.inbox.marks(world.TENANT, user, [item]) == {item: Mark(item, 5, 12, 0)}
    assert await state.inbox.marks(world.TENANT, "user-2", [item]) == {}


async def test_the_horizon_only_rises_and_takes_undone_readings_with_it(state):
    low, high, user = b"a" * 24, b"b" * 24, "user-1"
    await state.inbox.mark(world.TENANT, user, Mark(low, read_ms=0))
    await state.inbox.read_all(world.TENANT, user, Horizon(high, 100))
    await state.inbox.read_all(world.TENANT, user, Horizon(low, 200))
    assert await state.inbox.horizon(world.TENANT, user) == Horizon(high, 100)
    assert await state.inbox.marks(world.TENANT, user, [low]) == {low: Mark(low)}
    assert await state.inbox.horizon("other", user) is None
