"""From planned to recorded: every outcome a vendor can answer ends where the rules say."""

import asyncio

import pytest

from clarion.domain.decision import Reason
from clarion.domain.delivery_state import State
from clarion.wait.worker import TimerWorker
from tests.stages.virtual import run, until
from tests.stages.world import POLICY, World, address


async def deliver(world: World, *to: str, **request: object) -> None:
    """Accept, plan, deliver with retries by timers, and drain once everything is terminal."""
    id_ = await world.accept(*to, **request)
    await world.plan()
    stop = asyncio.Event()
    timers = TimerWorker(world.journal, world.journal, world.clock, world.notes, retention_ms=10**9)
    waiting = asyncio.create_task(timers.run(stop))
    pool = await world.pool()
    await until(lambda: len(world.states()) == len(to) and all(s >= State.SENT for s in world.states().values()))
    await pool.drain()
    stop.set()
    await waiting
    assert id_


@pytest.mark.parametrize(
    ("script", "state", "reason", "attempts"),
    [
        ("accepted", State.SENT, Reason.NONE, 1),
        ("throttled", State.SENT, Reason.NONE, 2),
        ("transient", State.SENT, Reason.NONE, 3),
        ("hopeless", State.DEAD, Reason.ATTEMPTS_EXHAUSTED, None),
        ("ambiguous", State.SENT, Reason.NONE, 2),
        ("refused", State.FAILED, Reason.REFUSED, 1),
        ("dead-token", State.FAILED, Reason.INVALID_RECIPIENT, 1),
        ("misconfigured", State.DEAD, Reason.MISCONFIGURED, None),
    ],
)
def test_every_outcome_ends_where_the_rules_say(directory, script, state, reason, attempts):
    world = World(directory)
    run(deliver(world, address(script)))
    (row,) = world.ledger.rows.values()
    assert (row.state, row.reason) == (state, reason)
    assert attempts in (None, row.attempt)
    assert [to for to, _ in world.vendor.calls] == [address(script)] * row.attempt
    if attempts is None:
        spent_ms = world.clock.now_ms() - (row.started_ms or 0)
        assert row.attempt > len(POLICY.pauses_ms), "it was retried for as long as the policy says"
        assert spent_ms <= POLICY.age_max_ms
