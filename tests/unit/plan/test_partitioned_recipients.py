"""Notifications whose workflow runs in several partitions: all recipients are known, whichever is recorded first."""

import asyncio
from itertools import permutations

from clarion.history.shapes import request_of
from clarion.journal import topics
from clarion.journal.events import Recipient
from clarion.ports.state import Advance
from tests.contract.states import STATES
from tests.folding import fold_stored
from tests.look import Glance
from tests.stages.virtual import run
from tests.stages.world import TENANT
from tests.unit.plan.deciding import HOUR_MS, TimedWorld

USERS = [f"u{number}" for number in range(1, 9)]


def test_a_notification_is_known_with_all_its_recipients_in_whatever_order_partitions_are_recorded(people, tmp_path):
    async def scenario(world: TimedWorld) -> bytes:
        workflow = {"template": "", "workflow": "summary", "workflow_version": 1, "channels": None}
        id_ = await world.accept(*map(Recipient, USERS), **workflow)
        await world.pass_time(HOUR_MS)
        await world.pass_time(HOUR_MS)
        return id_

    world = TimedWorld(people, partitions=3)
    id_ = run(scenario(world))
    result = {
        partition: frames
        for partition in range(3)
        if (frames := Glance(world.journal).read(topics.OUTCOMES, partition, 0, 1_000_000))
    }
    assert len(result) > 1, "the users belong to several partitions"
    assert world.to_send()
    for number, order in enumerate(permutations(result)):
        state = STATES["sqlite"](tmp_path / str(number))
        row = asyncio.run(recorded(state, [result[partition] for partition in order], id_))
        state.close()
        assert row is not None
        assert [to.user_id for to in request_of(row).to] == list(USERS)


async def recorded(state, batches, id_):
    """Record the frames of partitions, one after the other, and return the stored notification."""
    for frames in batches:
        changes = await fold_stored(frames, state.ledger)
        await state.ledger.apply(changes, [Advance(frames[0].partition, 0, frames[-1].offset, 1)])
    return await state.history.notification(TENANT, id_)
