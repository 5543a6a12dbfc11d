"""A channel's pool: order where it is required, cancellation, ends of deliveries, drains, and reported failures."""

import asyncio

import pytest

from clarion.deliver.partition.worker import PartitionConsumer
from clarion.domain.channel import Lane
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import State
from clarion.domain.errors import StaleLease
from clarion.domain.limits_processes import CANCELLATIONS_PER_READ_MAX
from clarion.journal import topics
from clarion.journal.codec import decode
from clarion.journal.events import DeliverFrame
from clarion.journal.rows import deliver_rows
from clarion.ports.stage_store import AcceptState, Cancellation, StageResult
from tests.look import Glance
from tests.stages.holder import Holder
from tests.stages.virtual import run, until
from tests.stages.world import GROUP, TENANT, World, address


async def cancel(world: World, *subjects: bytes) -> None:
    await world.journal.commit(
        StageResult(
            accept_state=AcceptState(
                cancellations=[Cancellation(TENANT, one, world.clock.now_ms()) for one in subjects]
            )
        )
    )


def test_a_dead_letter_holds_the_delivery_to_replay(directory):
    async def scenario(world: World) -> None:
        await world.accept(address("refused"), data={"name": "Ana"}, metadata={"order": "7"})
        await world.plan()
        pool = await world.pool()
        await until(lambda: State.FAILED in world.states().values())
        await pool.drain()

    world = World(directory)
    run(scenario(world))
    (letter,) = world.ledger.dead.values()
    frame = decode(letter.payload)
    assert isinstance(frame, DeliverFrame)
    (row,) = deliver_rows(frame)
    assert (row.address, row.data, row.metadata, row.attempt) == (
        address("refused"),
        {"name": "Ana"},
        {"order": "7"},
        1,
    )


def test_a_dead_address_is_suppressed(directory):
    async def scenario(world: World) -> None:
        await world.accept(address("dead-token"))
        await world.plan()
        pool = await world.pool()
        await until(lambda: bool(world.suppressions.added))
        await pool.drain()

    world = World(directory)
    run(scenario(world))
    assert world.suppressions.added == [(TENANT, address("dead-token"))]


@pytest.mark.parametrize("others", [0, CANCELLATIONS_PER_READ_MAX + 5])
def test_a_delivery_cancelled_before_it_was_taken_is_not_sent(directory, others):
    async def scenario(world: World) -> None:
        kept, gone = await world.accept(address("accepted", 1)), await world.accept(address("accepted", 2))
        await world.plan()
        await cancel(world, *(n.to_bytes(16, "big") for n in range(others)), gone)
        pool = await world.pool()
        await until(lambda: len(world.states()) == 2 and all(state >= State.SENT for state in world.states().values()))
        await pool.drain()
        assert kept != gone

    world = World(directory)
    run(scenario(world))
    assert world.states() == {address("accepted", 1): State.SENT, address("accepted", 2): State.CANCELLED}
    assert world.vendor.calls == [(address("accepted", 1), 1)]


def test_a_delivery_under_way_when_cancelled_still_arrives(directory):
    async def scenario(world: World) -> None:
        id_ = await world.accept(address("accepted"))
        await world.plan()
        pool = await world.pool()
        await until(lambda: bool(world.vendor.calls), every_s=0.001)
        await cancel(world, id_)
        await until(lambda: world.states()[address("accepted")] is State.SENT)
        await pool.drain()

    run(scenario(World(directory)))


def test_a_retry_is_cancelled_between_attempts(directory):
    async def scenario(world: World) -> None:
        id_ = await world.accept(address("hopeless"))
        await world.plan()
        pool = await world.pool()
        await until(lambda: world.states().get(address("hopeless")) is State.RETRYING)
        await cancel(world, id_)
        await world.journal.fire(world.clock.now_ms() + 10**6, 10)
        await until(lambda: world.states()[address("hopeless")] is State.CANCELLED)
        await pool.drain()

    world = World(directory)
    run(scenario(world))
    assert world.vendor.calls == [(address("hopeless"), 1)]


def test_an_expired_delivery_is_not_sent(directory):
    async def scenario(world: World) -> None:
        await world.accept(address("accepted"), expires_ms=world.clock.now_ms() + 1_000)
        await world.plan()
        await asyncio.sleep(2)
        pool = await world.pool()
        await until(lambda: world.states().get(address("accepted")) is State.EXPIRED)
        await pool.drain()

    world = World(directory)
    run(scenario(world))
    assert world.vendor.calls == []
    (row,) = world.ledger.rows.values()
    assert row.reason == Reason.EXPIRED


def test_ordered_deliveries_go_one_after_the_other_and_a_failing_head_is_parked(directory):
    async def scenario(world: World) -> None:
        for script in ("accepted", "transient", "accepted"):
            to = address(script, len(Glance(world.journal).read(topics.accepted(Lane.NORMAL), 0, 0)))
            await world.accept(to, ordering_key="order-7")
        await world.accept(address("accepted", 9))
        await world.plan()
        pool = await world.pool()
        await until(lambda: len(world.vendor.calls) == 4)
        assert world.states()[address("transient", 1)] in (State.SENDING, State.RETRYING)
        await pool.drain()

    world = World(directory)
    run(scenario(world))
    ordered = [to for to, _ in world.vendor.calls if to != address("accepted", 9)]
    assert ordered == [address("accepted", 0), address("transient", 1), address("accepted", 2)]


def test_only_one_of_an_ordering_key_is_under_way(directory):
    async def scenario(world: World) -> None:
        for n in range(3):
            await world.accept(address("accepted", n), ordering_key="k")
        await world.plan()
        holder = await Holder(world, passes=lambda row: False).start()
        await holder.settled()
        assert holder.submitted == [address("accepted", 0)]
        await holder.crash()

    run(scenario(World(directory)))


def test_urgent_lanes_are_read_first(directory):
    async def scenario(world: World) -> None:
        for lane in (Lane.BULK, Lane.NORMAL, Lane.CRITICAL):
            await world.accept(f"accepted-{lane}", lane=lane)
            await world.plan()
        holder = await Holder(world, window=1).start()
        await holder.settled()
        assert holder.submitted == ["accepted-critical", "accepted-normal", "accepted-bulk"]
        await holder.crash()

    run(scenario(World(directory)))


def test_a_drain_finishes_and_records_started_deliveries(directory):
    async def scenario(world: World) -> None:
        await world.accept(*(address("accepted", n) for n in range(10)))
        await world.plan()
        pool = await world.pool()
        await until(lambda: bool(world.vendor.calls), every_s=0.001)
        await pool.drain()
        assert set(world.states().values()) == {State.SENT}
        assert Glance(world.journal).backlog(GROUP) == 0

    run(scenario(World(directory)))


def test_a_failed_sender_stops_the_pool(directory):
    """A pool that continued without it would wait for that delivery forever."""

    class Broken(RuntimeError):
        pass

    async def scenario(world: World) -> None:
        await world.accept(address("accepted"))
        await world.plan()
        context = world.tools()

        async def attempt(*args: object) -> None:
            raise Broken

        context.sender.attempt = attempt  # type: ignore[method-assign,assignment]
        pool = world.start(context, await world.held(GROUP))
        with pytest.raises(BaseExceptionGroup) as failure:
            await pool.running
        assert failure.group_contains(Broken)
        await pool.crash()

    run(scenario(World(directory)))


def test_a_lost_lease_ends_its_consumer_and_a_new_one_starts_another(directory):
    async def scenario(world: World) -> None:
        pool = await world.pool(owner="worker-0")
        await asyncio.sleep(1)
        lease = await world.journal.acquire(GROUP, 0, "worker-0", 10_000)  # a new fence, as after a pause
        assert lease is not None
        await world.journal.release([lease])
        await world.accept(address("accepted"))
        await world.plan()
        await until(lambda: world.states() == {address("accepted"): State.SENT})
        await pool.drain()
        assert world.vendor.calls == [(address("accepted"), 1)]

    run(scenario(World(directory)))


def test_nothing_is_begun_again_under_a_lease_that_was_lost(directory, monkeypatch):
    began = []

    async def lost(self, stop):
        began.append(self)
        raise ExceptionGroup("ended", [StaleLease("gone")])

    monkeypatch.setattr(PartitionConsumer, "run", lost)

    async def scenario(world: World) -> None:
        pool = await world.pool()
        await asyncio.sleep(0.5)
        assert len(began) == 1
        await pool.drain()

    run(scenario(World(directory)))
