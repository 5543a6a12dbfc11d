"""The fold: the same rows for any split of a stream, one terminal state, and no late or repeated event reverts it."""

import itertools
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.delivery_state import TERMINAL, TRANSITIONS, Event, State
from clarion.domain.history import STATES, Attempt
from clarion.ports.receipts import ReceiptKind
from clarion.stores.memory.state import MemoryState
from tests.contract import ledgers as world
from tests.contract.states import dump_memory

PERSON = st.integers(0, world.PEOPLE - 1)
SINGLE = st.integers(0, world.SINGLES - 1)
ATTEMPT = st.integers(1, 3)
TIME = st.integers(0, 3).map(lambda n: world.AT_MS + 40_000 * n)
RECEIPT_KINDS = get_args(ReceiptKind)
FRAMES = st.one_of(
    st.builds(world.planned, SINGLE, st.sampled_from([0, 0, 2]), TIME),
    st.builds(world.planned, SINGLE, scheduled_ms=st.just(world.AT_MS + 99)),
    st.builds(
        world.chunk,
        st.lists(
            st.sampled_from([State.PLANNED, State.SKIPPED]), min_size=world.CHUNK_SIZE, max_size=world.CHUNK_SIZE
        ).map(bytes),
    ),
    st.builds(world.intent, PERSON, ATTEMPT, TIME),
    st.integers(0, world.CHUNK_SIZE - 1).flatmap(
        lambda first: st.builds(world.chunk_intent, st.just(first), st.integers(1, world.CHUNK_SIZE - first))
    ),
    st.integers(0, world.CHUNK_SIZE - 1).flatmap(
        lambda first: st.builds(
            world.chunk_attempted,
            st.just(first),
            st.lists(st.sampled_from([0, 10, 10]), min_size=1, max_size=world.CHUNK_SIZE - first).map(bytes),
        )
    ),
    st.builds(world.attempted, PERSON, st.sampled_from(sorted(set(Event) - {Event.INTENT, Event.REPLAYED})), ATTEMPT),
    st.builds(world.attempted, PERSON, st.sampled_from([Event.ACCEPTED, Event.EXHAUSTED]), ATTEMPT, at_ms=TIME),
    st.builds(world.replayed, PERSON),
    st.builds(world.cancelled, SINGLE),
    st.builds(world.seen, SINGLE, TIME),
    st.builds(world.receipt, PERSON, st.sampled_from(RECEIPT_KINDS), TIME, st.sampled_from(["acme", "acme", "other"])),
    st.builds(world.health_frame, st.just("closed"), st.sampled_from(["open", "degraded"]), TIME),
)
STREAMS = st.lists(FRAMES, max_size=25)


@given(STREAMS, st.data())
async def test_a_stream_folds_to_the_same_rows_in_any_split(stream, data):
    frames = world.stored(stream)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(frames)))))
    edges = [0, *cuts, len(frames)]
    whole, split = MemoryState(), MemoryState()
    await world.fold_all(whole, [frames])
    await world.fold_all(split, [frames[a:b] for a, b in itertools.pairwise(edges)])
    assert dump_memory(split) == dump_memory(whole)


@given(STREAMS)
async def test_states_move_only_as_the_law_says(stream):
    ledger = MemoryState()
    before: dict[bytes, int] = {}
    for frame in world.stored(stream):
        await world.fold_all(ledger, [[frame]])
        after = states(ledger)
        for id_, state in after.items():
            old = before.get(id_)
            assert old is None or state == old or state in reachable(old)
        before = after


@given(STREAMS)
async def test_a_terminal_state_changes_only_by_receipt_or_replay(stream):
    ledger = MemoryState()
    harmless = [
        f
        for f in stream
        if not isinstance(f, type(world.replayed(0)))
        and "bounced" not in (*getattr(f, "events", ()), *getattr(f, "kinds", ()))
    ]
    rested: dict[bytes, int] = {}
    for frame in world.stored(harmless):
        await world.fold_all(ledger, [[frame]])
        for id_, state in states(ledger).items():
            if id_ in rested:
                assert state in (rested[id_], State.DELIVERED if rested[id_] == State.SENT else rested[id_])
            if state in TERMINAL:
                rested[id_] = state


@given(STREAMS)
async def test_totals_count_every_delivery_of_a_broadcast_once(stream):
    ledger = MemoryState()
    await world.fold_all(ledger, [world.stored(stream)])
    found = {}
    for *_, state, _reason, count in dump_memory(ledger)["totals"]:
        found[state] = found.get(state, 0) + count
    expected: dict[int, int] = {}
    for row in ledger.tables.chunk_states.values():
        for state in row.states:
            expected[state] = expected.get(state, 0) + 1
    assert found == expected


@given(STREAMS, SINGLE)
async def test_every_delivery_rests_once_a_terminal_event_was_seen(stream, person):
    ledger = MemoryState()
    await world.fold_all(
        ledger, [world.stored([*stream, world.planned(person), world.attempted(person, Event.ACCEPTED)])]
    )
    assert ledger.tables.deliveries.get(world.id_of(person)).state in TERMINAL


@given(STREAMS, st.lists(st.builds(world.receipt, PERSON, st.sampled_from(RECEIPT_KINDS)), max_size=6))
async def test_repeated_receipts_change_nothing_and_the_timeline_has_one_of_each(stream, receipts):
    once, again = MemoryState(), MemoryState()
    await world.fold_all(once, [world.stored([*stream, *receipts])])
    await world.fold_all(again, [world.stored([*stream, *receipts, *receipts])])
    assert states(again) == states(once)
    assert set(attempts_by_id(again)) >= set(attempts_by_id(once))
    applied = {key for key, row in (attempts_by_id(once)).items() if row.applied}
    assert applied <= {key for key, row in (attempts_by_id(again)).items() if row.applied}


@given(STREAMS, PERSON, st.sampled_from(RECEIPT_KINDS))
async def test_a_receipt_of_another_tenant_changes_nothing(stream, person, kind):
    ours, theirs = MemoryState(), MemoryState()
    await world.fold_all(ours, [world.stored(stream)])
    await world.fold_all(theirs, [world.stored([*stream, world.receipt(person, kind, tenant="other")])])
    assert dump_memory(theirs) == dump_memory(ours)


def states(ledger) -> dict[bytes, int]:
    """Return the state of every delivery: for a delivery of a chunk from its byte, otherwise from its row."""
    found = {id_: row.state for id_, row in ledger.tables.deliveries.newest() if row.chunk_id is None}
    for row in ledger.tables.chunk_states.values():
        found.update(zip(world.CHUNK_IDS, row.states, strict=True))
    return found


def attempts_by_id(ledger) -> dict[tuple, Attempt]:
    """Return every attempt and receipt of deliveries, by its unique key."""
    return {(*owner, *key): row for owner, of_one in ledger.tables.attempts.items() for key, row in of_one.items()}


def reachable(state: int) -> set[State]:
    """Return the states one frame can lead to: by one event, or by one slice of a chunk."""
    return {new for (old, _), new in TRANSITIONS.items() if old == STATES[state]}
