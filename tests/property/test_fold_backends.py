"""All backends of the state store have the same rows and return the same reads for any folded stream."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given

from clarion.ports.history import DeadLetterFilter, ListWindow
from tests.contract import ledgers as world
from tests.contract.states import STATES, dump, shut
from tests.property.test_fold import STREAMS

IDS = [world.id_of(person) for person in range(world.PEOPLE)]
AFTER_MS = world.AT_MS + 10**9


async def answers(state, tenant=world.TENANT):
    """Return the reads of a store for all deliveries in `ledgers`."""
    everything = ListWindow(50)
    return [
        [
            [await state.history.notification(tenant, id_), await state.history.deliveries_of(tenant, [id_])]
            for id_ in world.NOTIFICATIONS
        ],
        await state.history.notifications(tenant, everything),
        sorted((await state.history.deliveries(tenant, IDS)).items()),
        await state.history.attempts_of(tenant, IDS),
        await state.history.totals(tenant, world.BROADCAST),
        await state.history.chunks(tenant, world.BROADCAST, None, 10),
        await state.history.dead_letters(tenant, everything, DeadLetterFilter()),
        await state.history.dead_letters(tenant, everything, DeadLetterFilter(provider="fcm-1", replayed=False)),
        await state.history.count_dead_letters(tenant, everything, DeadLetterFilter(address="token-0")),
        await state.history.counters(tenant, 0, AFTER_MS, 100),
        await state.history.health_changes(tenant, None, 0, AFTER_MS, 100),
        [await state.history.seen_by(tenant, id_) for id_ in world.NOTIFICATIONS],
        sorted((await state.ledger.states(IDS)).items()),
        sorted(await state.history.claim_replays(tenant, IDS, AFTER_MS)),
        await state.history.dead_letters(tenant, everything, DeadLetterFilter()),
    ]


@pytest.mark.parametrize("name", [name for name in STATES if name != "memory"])
@given(stream=STREAMS)
async def test_backends_store_and_return_the_same(name, stream):
    with TemporaryDirectory() as folder:
        memory, other = (open_state(Path(folder)) for open_state in (STATES["memory"], STATES[name]))
        try:
            for state in (memory, other):
                await world.fold_all(state, [world.stored(stream)])
            assert dump(other, Path(folder)) == dump(memory, Path(folder))
            assert await answers(memory) == await answers(other)
            assert await answers(memory, "other") == await answers(other, "other")
        finally:
            await shut(other)
