"""The in-app message of a user who is connected does not wait for others; those of everyone else do."""

import pytest

from clarion.deliver.partition.worker import RESULTS_WAIT_MS
from clarion.domain.channel import Channel
from clarion.domain.delivery_state import State
from clarion.journal.events import Recipient
from clarion.ports.presence import Connected
from clarion.runtime.onlookers import Onlookers
from clarion.stores.memory.journal import MemoryJournal
from clarion.stores.memory.presence import MemoryPresence
from tests.stages.virtual import run, until
from tests.stages.world import TENANT, World


class Patience(MemoryJournal):
    """A journal that notes for how long results may wait."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.waits = []

    async def commit(self, result):
        if result.may_wait_ms:
            self.waits.append(result.may_wait_ms)
        return await super().commit(result)


class Noted(Onlookers):
    hurried = 0

    def hurry(self):
        self.hurried += 1


async def deliver(world, user, connected):
    presence = MemoryPresence(world.clock)
    await presence.renew("gateway", 60_000)
    await presence.record("gateway", [Connected(TENANT, connected, 1)])
    onlookers = Noted(presence, world.clock)
    await world.accept(Recipient(user_id=user), channels=["inapp"])
    await world.plan()
    pool = await world.pool(channel=Channel.INAPP, onlookers=onlookers)
    await until(lambda: list(world.states().values()) == [State.SENT])
    await pool.drain()
    return onlookers.hurried


@pytest.mark.parametrize(("connected", "hurried"), [("u1", 1), ("u2", 0)])
def test_a_message_to_a_user_who_is_connected_is_recorded_at_once(directory, connected, hurried):
    world = World(directory, journal=Patience)
    assert run(deliver(world, "u1", connected)) == hurried
    assert (RESULTS_WAIT_MS in world.journal.waits) is not bool(hurried)
