"""Both engines of the state store hold the same rows and answer alike, whatever stream is folded into them."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given

from clarion.ports.history import DeadLetterFilter, Window
from tests.contract import ledgers as world
from tests.contract.journals import VirtualClock
from tests.contract.states import STATES, dump
from tests.property.test_fold import STREAMS

IDS = [world.id_of(person) for person in range(world.PEOPLE)]
AFTER_MS = world.AT_MS + 10**9


async def answers(state, tenant=world.TENANT):
    """What a store says of everything there is in the world."""
    everything = Window(50)
    return [
        [
            [await state.notification(tenant, id_), await state.deliveries_of(tenant, id_)]
            for id_ in world.NOTIFICATIONS
        ],
        await state.notifications(tenant, everything),
        sorted((await state.deliveries(tenant, IDS)).items()),
        await state.attempts_of(tenant, IDS),
        await state.totals(tenant, world.BROADCAST),
        await state.chunks(tenant, world.BROADCAST, None, 10),
        await state.dead_letters(tenant, everything, DeadLetterFilter()),
        await state.dead_letters(tenant, everything, DeadLetterFilter(provider="fcm-1", replayed=False)),
        await state.count_dead_letters(tenant, everything, DeadLetterFilter(address="token-0")),
        await state.counters(tenant, 0, AFTER_MS, 100),
        await state.standings(tenant, None, 0, AFTER_MS, 100),
        [await state.seen_by(tenant, id_) for id_ in world.NOTIFICATIONS],
        sorted((await state.states(IDS)).items()),
        sorted(await state.claim_replays(tenant, IDS, AFTER_MS)),
        await state.dead_letters(tenant, everything, DeadLetterFilter()),
    ]


@given(STREAMS)
async def test_engines_hold_and_tell_the_same(stream):
    with TemporaryDirectory() as folder:
        memory, sqlite = (
            open_state(Path(folder), VirtualClock()) for open_state in (STATES["memory"], STATES["sqlite"])
        )
        try:
            for state in (memory, sqlite):
                await world.fold_all(state, [world.stored(stream)])
            assert dump(sqlite, Path(folder)) == dump(memory, Path(folder))
            assert await answers(memory) == await answers(sqlite)
            assert await answers(memory, "other") == await answers(sqlite, "other")
        finally:
            sqlite.close()
