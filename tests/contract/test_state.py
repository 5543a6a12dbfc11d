"""The state store has the same rows as the one in memory, moves only under its fence, and isolates tenants."""

from collections import Counter

import pytest

from clarion.domain.delivery_state import Event, State
from clarion.domain.errors import AlreadyStored, StaleLease
from clarion.domain.history import Changes
from clarion.history.routes import routes
from clarion.ports.history import DeadLetterFilter, ListWindow
from clarion.ports.stage_store import Position
from clarion.ports.state import Advance
from clarion.ports.web import Call
from clarion.record.columns import FoldFacts, decide
from clarion.record.frames import touched
from clarion.stores.memory.journal import MemoryJournal
from clarion.stores.memory.state import MemoryState
from tests.callers import by_key
from tests.contract import ledgers as world
from tests.contract.states import dump
from tests.contract.story import story

PORT = "state"
SEED = 7


async def test_folding_batch_by_batch_gives_the_rows_of_the_referee(state, tmp_path):
    frames = story(SEED)
    referee = MemoryState()
    await world.fold_all(referee, [frames])
    await world.fold_all(state, [frames[n : n + 7] for n in range(0, len(frames), 7)])
    found = dump(state, tmp_path)
    assert found == dump(referee, tmp_path)
    assert all(
        found[name]
        for name in ("deliveries", "attempts", "dead_letters", "totals", "counters", "cancellations", "sightings")
    )


async def test_a_position_moves_only_from_where_it_is(state):
    await state.ledger.apply(Changes(), [Advance(0, 0, 5, fence=1), Advance(3, 0, 2, 1, {"a": 7, "b": 2})])
    with pytest.raises(StaleLease):
        await state.ledger.apply(Changes(), [Advance(0, 4, 6, fence=1)])
    assert await state.ledger.positions() == {0: Position(5), 3: Position(2, {"a": 7, "b": 2})}


async def test_an_older_fence_stores_nothing(state):
    await state.ledger.apply(Changes(), [Advance(0, 0, 5, fence=2)])
    changes = Changes(cancellations=[(world.TENANT, b"n" * 16, 1)])
    with pytest.raises(StaleLease):
        await state.ledger.apply(changes, [Advance(1, 0, 9, fence=9), Advance(0, 5, 6, fence=1)])
    assert await state.ledger.positions() == {0: Position(5)}
    assert await state.history.cancellations(world.TENANT, [b"n" * 16]) == {}


@pytest.mark.parametrize("again", [world.planned(0), world.chunk()])
async def test_a_delivery_assumed_new_that_has_a_row_stores_nothing(state, again):
    await world.fold_all(state, [world.stored([world.planned(0), world.chunk()])])
    events = [again, world.cancelled(1)]
    changes = decide(events, FoldFacts({}, {}, touched(events).planned))
    with pytest.raises(AlreadyStored):
        await state.ledger.apply(changes, [Advance(0, 0, 2, fence=1)])
    assert await state.ledger.positions() == {}
    assert await state.history.cancellations(world.TENANT, [world.NOTIFICATIONS[1]]) == {}
    await state.ledger.apply(decide(events[1:], FoldFacts({}, {}, frozenset())), [Advance(0, 0, 2, fence=1)])
    assert await state.ledger.positions() == {0: Position(2)}


async def test_another_tenant_sees_nothing(state):
    await world.fold_all(state, [story(SEED)])
    id_, other = world.NOTIFICATIONS[0], "other"
    assert await state.history.notification(world.TENANT, id_) is not None
    assert await state.history.notification(other, id_) is None
    assert await state.history.deliveries_of(other, [id_]) == {}
    assert await state.history.deliveries(other, world.SINGLE_IDS) == {}
    assert await state.history.attempts_of(other, world.SINGLE_IDS) == []
    assert await state.history.cancellations(other, [id_]) == {}
    assert await state.history.totals(other, world.BROADCAST) == []
    assert await state.history.chunks(other, world.BROADCAST, None, 10) == []
    assert await state.history.dead_letters(other, ListWindow(10), DeadLetterFilter()) == []
    assert await state.history.claim_replays(other, world.SINGLE_IDS, world.AT_MS) == set()
    assert await state.history.seen_ms([(other, id_, "user-0")]) == {}
    assert await state.history.seen_by(other, id_) == []


async def test_many_notifications_are_read_at_once_and_unknown_ones_left_out(state):
    await world.fold_all(state, [world.stored([*(world.planned(n) for n in range(3)), world.cancelled(1)])])
    unknown, asked = b"\0" * 16, [*world.NOTIFICATIONS[:3], b"\0" * 16]
    found = await state.history.deliveries_of(world.TENANT, asked)
    assert {id_: [row.id for row in rows] for id_, rows in found.items()} == {
        id_: [delivery] for id_, delivery in zip(asked, world.SINGLE_IDS[:3], strict=False)
    }
    assert set(await state.history.cancellations(world.TENANT, asked)) == {world.NOTIFICATIONS[1]}
    assert await state.history.instances_of(world.TENANT, asked) == {}
    assert await state.history.request_facts(world.TENANT, [unknown]) == {}
    for read in (state.history.deliveries_of, state.history.cancellations, state.history.instances_of):
        assert await read(world.TENANT, []) == {}


async def test_a_page_of_notifications_takes_as_many_reads_as_one(state, clock):
    await world.fold_all(state, [world.stored([world.planned(n) for n in range(world.SINGLES)])])
    counted = Counted(state.history)
    journal = MemoryJournal(clock, 1)
    (route,) = [
        one for one in routes(counted, journal, journal, None, clock)
        if (one.method, one.path) == ("GET", "/v1/notifications")
    ]  # fmt: skip
    caller = by_key(world.TENANT)
    shown = (await route.handler(Call(caller, {}, {"limit": "100"}, {}, b""))).body
    assert len(shown["data"]) == world.SINGLES > 2
    assert counted.reads["notifications"] == counted.reads["deliveries_of"] == 1
    assert sum(counted.reads.values()) <= 4


class Counted:
    """Counts the calls of a history."""

    def __init__(self, history):
        self._history = history
        self.reads = Counter()

    def __getattr__(self, name):
        self.reads[name] += 1
        return getattr(self._history, name)


async def test_lists_are_newest_first_and_keep_to_their_window(state):
    await world.fold_all(state, [world.stored([world.planned(n) for n in range(world.SINGLES)])])
    newest = world.NOTIFICATIONS[::-1]
    assert [row.id for row in await state.history.notifications(world.TENANT, ListWindow(3))] == newest[:3]
    assert [
        row.id for row in await state.history.notifications(world.TENANT, ListWindow(3, before=newest[1]))
    ] == newest[2:]
    inside = ListWindow(9, from_ms=world.AT_MS + 1, to_ms=world.AT_MS + 3)
    assert [row.id for row in await state.history.notifications(world.TENANT, inside)] == newest[1:3]


async def test_a_dead_letter_is_claimed_once_until_it_is_dead_again(state):
    dead = [world.planned(0), world.attempted(0, Event.EXHAUSTED)]
    await world.fold_all(state, [world.stored(dead)])
    own = world.SINGLE_IDS[:1]
    assert await state.history.claim_replays(world.TENANT, own, world.AT_MS) == {own[0]}
    assert await state.history.claim_replays(world.TENANT, own, world.AT_MS + 59_999) == set()
    assert await state.history.claim_replays(world.TENANT, own, world.AT_MS + 60_000) == {own[0]}
    await world.fold_all(state, [world.stored([world.replayed(0)])])
    assert await state.history.claim_replays(world.TENANT, own, world.AT_MS + 999_999) == set()
    assert await state.ledger.states(own) == {own[0]: (State.PLANNED, 1)}
    await world.fold_all(state, [world.stored([world.attempted(0, Event.EXHAUSTED, 2)])])
    assert await state.history.claim_replays(world.TENANT, own, world.AT_MS + 999_999) == {own[0]}


async def test_captures_are_bounded_by_age_and_number(state):
    frames = [
        frame
        for n in range(world.SINGLES)
        for frame in (
            world.planned(n),
            world.attempted(n, Event.ACCEPTED, vendor="sandbox", content={"title": f"hi {n}"}),
        )
    ]
    await world.fold_all(state, [world.stored(frames)])
    listed = await state.history.captures(world.TENANT, ListWindow(10), None, None)
    assert [capture.content for capture in listed] == [b'{"title":"hi %d"}' % n for n in (3, 2, 1, 0)]
    assert await state.ledger.prune_captures(world.AT_MS + 1, 10) == 1
    assert await state.ledger.prune_captures(0, 2) == 1
    assert [
        c.delivery_id for c in await state.history.captures(world.TENANT, ListWindow(10), None, None)
    ] == world.SINGLE_IDS[:1:-1]


async def test_states_show_the_deliver_stage_finished_work(state):
    frames = [world.planned(0), world.planned(1), world.intent(1), world.attempted(1, Event.RETRY), world.chunk()]
    await world.fold_all(state, [world.stored([*frames, world.chunk_attempted(1, bytes([10, 10]))])])
    assert await state.ledger.states(world.SINGLE_IDS) == {
        world.SINGLE_IDS[0]: (State.PLANNED, 0),
        world.SINGLE_IDS[1]: (State.RETRYING, 1),
    }
    assert await state.ledger.chunk_states(world.CHUNK) == bytes([1, 10, 10, 1, 1])
    assert await state.ledger.chunk_states(b"?" * 24) is None


async def test_the_first_and_the_last_seen_event_of_a_user_are_stored(state):
    at_ms, id_ = world.AT_MS, world.NOTIFICATIONS[0]
    two = world.seen(0, at_ms + 7)
    two.tenants, two.notification_ids, two.user_ids, two.at_ms = (
        [world.TENANT] * 2, [id_] * 2, ["user-0", "bob"], [at_ms + 7, at_ms + 8]
    )  # fmt: skip
    await world.fold_all(
        state, [world.stored([world.seen(0, at_ms + 5)]), world.stored([two, world.seen(0, at_ms + 9)])]
    )
    here, elsewhere = (world.TENANT, id_), (world.TENANT, world.NOTIFICATIONS[1])
    asked = [(*here, "user-0"), (*here, "bob"), (*here, "user-1"), (*elsewhere, "user-0"), ("other", id_, "bob")]
    assert await state.history.seen_ms(asked) == {(*here, "user-0"): at_ms + 9, (*here, "bob"): at_ms + 8}
    assert await state.history.seen_ms([]) == {}
    assert await state.history.seen_by(world.TENANT, id_) == [("bob", at_ms + 8), ("user-0", at_ms + 5)]
