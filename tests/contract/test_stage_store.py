"""Guarantees of every stage store: a step is stored as a whole or not at all, and one read takes many keys."""

import asyncio

import pytest

from clarion.domain.errors import DurabilityError, StaleLease
from clarion.domain.limits_processes import PARTITIONS_MAX
from clarion.ports.journal_cells import CapWrite, Cell, Signal, Wait, WaitEnd
from clarion.ports.stage_store import (
    AcceptState,
    Broadcasts,
    Cancellation,
    Commit,
    CursorMove,
    GroupProgress,
    IdempotencyEntry,
    IntentEntry,
    IntentWrite,
    PlanState,
    Position,
    StageResult,
    StaleCaps,
    StaleCursor,
    StaleKey,
)
from clarion.ports.streams import StreamOffset
from tests.contract.backends import SURVIVES, TRAITS
from tests.contract.journals import PARTITIONS, START_MS, cursor, frame, frames, held, payloads, timer

PORT = "stage store"


def entry(tenant: str, key: str, answer: bytes = b"answer", expires_ms: int = START_MS + 1) -> IdempotencyEntry:
    return IdempotencyEntry(tenant, key, b"hash", answer, expires_ms)


async def before(store) -> None:
    """Store the state that the step of `whole` changes."""
    await store.commit(
        StageResult(
            plan_state=PlanState(
                cells=[Cell(0, b"old", b"value")],
                caps=[CapWrite("acme", b"rule", 1, ((2, 0, 5),))],
                waits=[Wait("acme", b"old", b"subject", "u", 0, START_MS + 50)],
            ),
            broadcasts=Broadcasts([cursor(), cursor(b"d")]),
        )
    )


async def whole(store, lease) -> StageResult:
    """Return a step that changes everything there is to change."""
    return StageResult(
        lease=lease,
        frames=[frame(payload=b"frame")],
        timers=[timer(b"1", START_MS + 5)],
        progress=GroupProgress(
            commits=[Commit(lease, "t", 7, {"one": 3})], intents=[IntentWrite(lease, [IntentEntry(1, b"open")])]
        ),
        accept_state=AcceptState([entry("acme", "key")], [Cancellation("acme", b"gone", START_MS)]),
        plan_state=PlanState(
            cells=[Cell(0, b"cell", b"value"), Cell(0, b"old", None)],
            caps=[CapWrite("acme", b"rule", 1, ((2, 5, 9),))],
            waits=[Wait("acme", b"key", b"subject", "t", 0, START_MS + 50)],
            ended_waits=[WaitEnd("acme", b"old", b"subject")],
            signals=[Signal("acme", b"old", b"signal")],
        ),
        broadcasts=Broadcasts([cursor(b"new")], [CursorMove(lease, b"c", 0, 10, 1, 2, 3, done=False)]),
    )


async def everything(store) -> list[object]:
    return [
        await store.read_many([StreamOffset("t", 0), StreamOffset("u", 0)]),
        await store.next_due(),
        await store.positions("g", [0, 1]),
        await store.open_intents("g", 0),
        await store.remembered([("acme", "key")], START_MS),
        await store.cancellations_after(0),
        await store.cells_of([(0, b"cell"), (0, b"old")]),
        await store.caps_of({("acme", b"rule"): [1]}),
        await store.waits_of([("acme", b"key"), ("acme", b"old")]),
        await store.cursors_by_id([b"c", b"new"]),
    ]


async def test_a_step_is_stored_whole(store):
    await before(store)
    lease = await held(store)
    assert (await store.commit(await whole(store, lease))).offsets == [1]
    assert await store.positions("g", [0, 1]) == {0: {"t": Position(7, {"one": 3})}, 1: {}}
    assert await store.open_intents("g", 0) == [IntentEntry(1, b"open")]
    assert await store.remembered([("acme", "key"), ("acme", "other")], START_MS) == {
        ("acme", "key"): entry("acme", "key")
    }
    assert await store.cancellations_after(0) == (1, [b"gone"])
    assert await store.cells_of([(0, b"cell"), (0, b"old"), (0, b"none"), (1, b"cell")]) == {(0, b"cell"): b"value"}
    ((place, times),) = (await store.caps_of({("acme", b"rule"): [0, 1], ("acme", b"other"): [1]})).items()
    assert (place, times[8:12]) == (("acme", b"rule", 1), b"\x09\0\0\0")
    assert list(await store.waits_of([("acme", b"key"), ("acme", b"old"), ("other", b"key")])) == [("acme", b"key")]
    assert await payloads(store, "u") == [b"signal"]
    found = await store.cursors_by_id([b"c", b"new", b"none"])
    assert {name: one.position for name, one in found.items()} == {b"c": 10, b"new": 0}
    assert await store.next_due() == START_MS + 5


@pytest.mark.parametrize("why", ["lease", "commit", "intents", "cursor", "key", "caps"])
async def test_a_refused_step_changes_nothing_and_spares_its_neighbours(store, why):
    """Any part can be refused: the fence of its own lease, of a commit or of open intents, or a stale read."""
    await before(store)
    others = StageResult(
        accept_state=AcceptState([entry("acme", "taken", b"first")]),
        plan_state=PlanState(caps=[CapWrite("acme", b"other", 0, ((0, 0, 5),))]),
    )
    await store.commit(others)
    stale, lease = await held(store), await held(store)
    found = await everything(store)
    good = await whole(store, lease)
    bad, error = {
        "lease": ({"lease": stale}, StaleLease),
        "commit": ({"progress": GroupProgress([*good.progress.commits, Commit(stale, "u", 1)])}, StaleLease),
        "intents": ({"progress": GroupProgress(intents=[IntentWrite(stale, [IntentEntry(9, b"")])])}, StaleLease),
        "cursor": ({"broadcasts": Broadcasts(moves=[CursorMove(lease, b"d", 5, 6, 0, 0, 0, done=False)])}, StaleCursor),
        "key": ({"accept_state": AcceptState([entry("acme", "taken", b"second")])}, StaleKey),
        "caps": ({"plan_state": PlanState(caps=[CapWrite("acme", b"other", 0, ((0, 4, 6),))])}, StaleCaps),
    }[why]
    parts = {name: getattr(good, name) for name in StageResult.__struct_fields__}
    first, refused, last = await asyncio.gather(
        store.commit(frames(b"1", topic="neighbour")),
        store.commit(StageResult(**{**parts, **bad})),
        store.commit(frames(b"2", topic="neighbour")),
        return_exceptions=True,
    )
    assert (first.offsets, type(refused), last.offsets) == ([1], error, [2])
    assert await everything(store) == found
    assert await payloads(store, "neighbour") == [b"1", b"2"]


async def test_reads_answer_for_many_partitions_and_tenants_at_once(store):
    await store.commit(
        StageResult(
            plan_state=PlanState(
                cells=[Cell(p, b"a", b"%d" % p) for p in range(3)],
                caps=[CapWrite(tenant, b"r", block, ((0, 0, 1),)) for tenant in ("acme", "beta") for block in (0, 4)],
                waits=[
                    Wait(tenant, b"k", b"%d" % n, "t", 0, START_MS + 9) for tenant in ("acme", "beta") for n in (1, 2)
                ],
            ),
            accept_state=AcceptState(
                [entry(tenant, "k", expires_ms=START_MS + n) for n, tenant in enumerate(("acme", "beta"))]
            ),
        )
    )
    assert await store.cells_of([(p, b"a") for p in range(4)]) == {(p, b"a"): b"%d" % p for p in range(3)}
    found = await store.caps_of({("acme", b"r"): [0, 4], ("beta", b"r"): [4, 5]})
    assert sorted(found) == [("acme", b"r", 0), ("acme", b"r", 4), ("beta", b"r", 4)]
    waits = await store.waits_of([("acme", b"k"), ("beta", b"k")], limit=1)
    assert {place: [one.subject for one in some] for place, some in waits.items()} == {
        ("acme", b"k"): [b"1"],
        ("beta", b"k"): [b"1"],
    }
    assert list(await store.remembered([("acme", "k"), ("beta", "k")], START_MS)) == [("beta", "k")]
    assert await store.cells_page(0, b"", 5) == [(b"a", b"0")]


async def test_a_store_declares_what_it_can_lose(store, backend):
    assert store.store_traits.failure_model.endswith(".")
    assert store.store_traits.survives_process_kill == (SURVIVES in TRAITS[backend])
    assert store.partitions == PARTITIONS


@pytest.mark.parametrize("partitions", [0, PARTITIONS_MAX + 1])
async def test_the_number_of_partitions_is_bounded(open_store, partitions):
    with pytest.raises(ValueError, match="partitions"):
        open_store(partitions)


async def test_after_close_appends_are_refused(store):
    await store.close()
    with pytest.raises(DurabilityError):
        await store.commit(frames(b"1"))


async def test_appends_under_way_are_finished_by_close(store):
    appends = [asyncio.ensure_future(store.commit(frames(b"%d" % n))) for n in range(50)]
    await asyncio.sleep(0)
    await store.close()
    assert [one.offsets for one in await asyncio.gather(*appends)] == [[n] for n in range(1, 51)]
