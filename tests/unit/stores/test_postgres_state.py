"""The state store on PostgreSQL: folds at once, folds whose outcome is not known, and what text it cannot hold."""

import asyncio
import random
from array import array
from bisect import bisect_left
from itertools import count

import asyncpg
import pytest
from msgspec.structs import replace

from clarion.domain.delivery_state import Event
from clarion.domain.errors import AlreadyStored, DurabilityError, Overloaded, StaleLease
from clarion.domain.history import Attempt, Changes, HealthChange
from clarion.domain.inbox import Horizon, Mark
from clarion.inbox.rules.inbox import ItemFilter
from clarion.ports.history import DeadLetterFilter, ListWindow
from clarion.ports.inbox_feed import Wanted
from clarion.ports.stage_store import Position
from clarion.ports.state import Advance
from clarion.record.columns import FoldFacts, decide
from clarion.stores.memory.state import MemoryState
from clarion.stores.postgres.state_items import epoch_of
from clarion.stores.postgres.tenancy import NO_TENANT
from tests.contract import ledgers as world
from tests.contract.inboxes import Inboxes, broadcast, own
from tests.contract.states import dump, postgres, shut
from tests.engines.postgres import database_of

pytestmark = pytest.mark.engines
KEY = (world.AT_MS, world.TENANT, "push", "sent", 0)


@pytest.fixture
async def state(tmp_path):
    opened = postgres(tmp_path)
    yield opened
    await shut(opened)


def lose(state, monkeypatch, *, after: bool, times: int = 1) -> None:
    """Let writes lose their connection, before the server has run them or after that."""
    run, lost = state.database.run, count()

    async def losing(work):
        if next(lost) >= times:
            return await run(work)
        if after:
            await run(work)
        raise DurabilityError("the connection was lost")

    monkeypatch.setattr(state.database, "run", losing)


async def counted(state) -> list[int]:
    return [n for *_, n in await state.history.counters(world.TENANT, 0, world.AT_MS * 2, 9)]


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("after", [False, True])
async def test_a_fold_whose_outcome_is_not_known_is_stored_once(state, monkeypatch, after, times):
    monkeypatch.setattr("clarion.stores.postgres.state_fold._PAUSE_S", 0)
    lose(state, monkeypatch, after=after, times=times)
    await state.ledger.apply(Changes(counters={KEY: 1}), [Advance(0, 0, 5, fence=1), Advance(2, 0, 1, fence=7)])
    assert await state.ledger.positions() == {0: Position(5), 2: Position(1)}
    assert await counted(state) == [1]


async def test_a_fold_of_another_worker_is_not_taken_for_the_own_one(state, monkeypatch):
    await state.ledger.apply(Changes(), [Advance(0, 0, 5, fence=2)])
    lose(state, monkeypatch, after=False)
    with pytest.raises(StaleLease):
        await state.ledger.apply(Changes(counters={KEY: 1}), [Advance(0, 0, 5, fence=1)])
    assert await counted(state) == []


async def test_an_outcome_that_cannot_be_found_out_is_an_error(state, monkeypatch):
    monkeypatch.setattr("clarion.stores.postgres.state_fold.POSTGRES_DOUBT_S_MAX", 0.1)
    lose(state, monkeypatch, after=False, times=99)
    with pytest.raises(DurabilityError):
        await state.ledger.apply(Changes(), [Advance(0, 0, 5, fence=1)])
    lose(state, monkeypatch, after=True)
    with pytest.raises(DurabilityError):
        await state.ledger.apply(Changes(), [])


async def test_marks_and_claims_end_no_process(state, monkeypatch):
    lose(state, monkeypatch, after=True)
    await state.inbox.mark(world.TENANT, "user-0", [Mark(b"i" * 24, read_ms=5)])
    found = (await state.inbox.facts(world.TENANT, "user-0", [b"i" * 24])).marks
    assert [mark.read_ms for mark in found.values()] == [5]
    lose(state, monkeypatch, after=True, times=99)
    with pytest.raises(Overloaded):
        await state.inbox.read_all(world.TENANT, "user-0", Horizon(1, 1, 5))
    with pytest.raises(Overloaded):
        await state.history.claim_replays(world.TENANT, world.SINGLE_IDS, world.AT_MS)


async def test_folds_of_one_partition_at_once_are_stored_once(state):
    folds = [state.ledger.apply(Changes(counters={KEY: 1}), [Advance(0, 0, 5, fence=1)]) for _ in range(4)]
    answers = await asyncio.gather(*folds, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["NoneType", *["StaleLease"] * 3]
    assert await counted(state) == [1]


async def test_folds_of_many_partitions_at_once_all_count(state):
    """They change the same counters, in another order each, and number changes of the same account's health."""
    keys = [(world.AT_MS, world.TENANT, channel, f"event-{n}", 0) for channel in ("push", "sms") for n in range(20)]
    health = HealthChange(world.TENANT, world.AT_MS, "fcm-1", "push", "fcm", "closed", "open", "why")

    async def fold(partition):
        chance = random.Random(partition)
        for offset in range(5):
            changes = Changes(counters=dict.fromkeys(chance.sample(keys, len(keys)), 1), health_changes=[health] * 2)
            await state.ledger.apply(changes, [Advance(partition, offset, offset + 1, fence=1)])

    await asyncio.gather(*map(fold, range(4)))
    rows = await state.history.counters(world.TENANT, 0, world.AT_MS * 2, 99)
    assert [n for *_, n in rows] == [20] * len(keys)
    assert len(await state.history.health_changes(world.TENANT, None, 0, world.AT_MS * 2, 99)) == 40


async def test_letters_claimed_at_once_are_claimed_by_one(state):
    dead = [frame for n in range(world.SINGLES) for frame in (world.planned(n), world.attempted(n, Event.EXHAUSTED))]
    await world.fold_all(state, [world.stored(dead)])
    orders = [world.SINGLE_IDS, world.SINGLE_IDS[::-1]] * 2
    claims = await asyncio.gather(*(state.history.claim_replays(world.TENANT, ids, world.AT_MS) for ids in orders))
    assert sorted(id_ for claimed in claims for id_ in claimed) == world.SINGLE_IDS


async def test_characters_that_text_cannot_hold_are_replaced(state):
    refused = world.attempted(0, Event.REFUSED)
    refused.outcomes = [replace(refused.outcomes[0], detail="a\0b")]
    await world.fold_all(state, [world.stored([world.planned(0), refused])])
    ((row,),) = (await state.history.deliveries_of(world.TENANT, world.NOTIFICATIONS[:1])).values()
    assert row.detail == "too_long: a\N{REPLACEMENT CHARACTER}b"
    assert await state.history.dead_letters(world.TENANT, ListWindow(9), DeadLetterFilter(address="\0")) == []
    assert await state.inbox.items(world.TENANT, "\0", None, 9) == []


async def test_a_new_chunk_that_has_a_row_is_not_stored_again(state):
    facts = FoldFacts({}, {}, frozenset({world.CHUNK}))
    await state.ledger.apply(decide([world.chunk()], facts), [])
    with pytest.raises(AlreadyStored):
        await state.ledger.apply(decide([world.chunk()], FoldFacts({}, {}, frozenset({world.CHUNK}))), [])


async def test_of_receipts_that_repeat_the_same_are_kept_as_in_memory(state, tmp_path, monkeypatch):
    kept = 3
    for module in ("postgres.state_rows", "memory.state_tables"):
        monkeypatch.setattr(f"clarion.stores.{module}.RECEIPTS_KEPT_MAX", kept)
    chance, referee = random.Random(5), MemoryState()
    for number in range(60):
        rows = [
            Attempt(
                world.SINGLE_IDS[chance.randrange(2)],
                world.TENANT,
                1,
                world.AT_MS + chance.randrange(5),
                number,
                chance.choice(["opened", "clicked", "confirmed"]),
                "",
                0,
                f"{number}/{place}",
                "",
                "",
                "",
                None,
            )
            for place in range(chance.randrange(1, 5))
        ]
        for one in (state, referee):
            await one.ledger.apply(Changes(attempts=rows), [])
    assert dump(state, tmp_path)["attempts"] == dump(referee, tmp_path)["attempts"]


async def test_an_ordinal_is_found_where_it_is(state):
    chance = random.Random(3)
    for size in (0, 1, 2, 7, 1_000):
        ordinals = array("Q", sorted(chance.sample(range(1 << 40), size)))
        for wanted in [*chance.sample(list(ordinals), min(size, 5)), 0, 1 << 41]:
            index = bisect_left(ordinals, wanted)
            expected = index if index < size and ordinals[index] == wanted else None
            found = await state.database.fetchval(NO_TENANT, "SELECT ordinal_index($1, $2)", ordinals.tobytes(), wanted)
            assert found == expected


async def test_an_error_of_the_schema_is_not_mistaken(state):
    with pytest.raises(asyncpg.NotNullViolationError):
        await state.ledger.apply(Changes(cancellations=[(world.TENANT, b"n" * 16, None)]), [Advance(0, 0, 1, 1)])
    assert await state.ledger.positions() == {}


async def test_an_item_that_is_stored_beside_a_chunk_is_not_missed(state, tmp_path):
    inboxes, feed = Inboxes(state), state.inbox
    await inboxes.arrive(own(1), *broadcast(2, 300))
    item = (world.TENANT, "user-1", b"i" * 24, 1, b'{"title":"beside"}', "", None, "")
    other = await asyncpg.connect(database_of(tmp_path))
    begun = other.transaction()
    await begun.start()
    await other.execute("SELECT set_config('clarion.tenants', '*', true)")
    await other.execute("SELECT fold_placed_items(ARRAY[ROW($1, $2, $3, $4, $5, $6, $7, $8)::fold_placed_item])", *item)
    await inboxes.arrive(*broadcast(3, 300))
    seen = (await inboxes.reader()).position
    await begun.commit()
    await other.close()
    assert await inboxes.titles(ItemFilter("all", since=seen)) == ["beside"]
    (now,) = await feed.positions([(world.TENANT, "user-1")])
    (missed,) = await feed.missed([Wanted(world.TENANT, "user-1", 1, seen, now)])
    assert [one.item_id for one in missed.items] == [b"i" * 24]
    assert await inboxes.titles() == ["3", "beside", "own 1", "2"]


def test_a_server_that_took_over_begins_another_epoch_of_inboxes():
    here = epoch_of(b"12345678", "00000001")
    assert here == epoch_of(b"12345678", "00000001") and len(here) == 8
    assert here not in (epoch_of(b"12345678", "00000002"), epoch_of(b"87654321", "00000001"), b"12345678")
