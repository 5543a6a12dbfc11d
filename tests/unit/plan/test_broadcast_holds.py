"""Broadcasts under quiet hours, caps, routes and local times: held chunks, and the users that a channel reaches."""

import msgspec

from clarion.domain.decision import Reason
from clarion.domain.delivery_state import State
from clarion.journal import topics
from clarion.journal.events import AcceptedFrame, Audience, BroadcastJob, ChunkFrame
from clarion.plan.broadcast.pages import plan_page
from tests.look import Glance
from tests.stages.virtual import START_MS, run
from tests.unit.plan.deciding import HOUR_MS, PUSH, SMS, TimedWorld
from tests.unit.plan.test_broadcast import begin, worker

DAY_MS = 24 * HOUR_MS


async def broadcast(world: TimedWorld, **request: object) -> bytes:
    """Plan a broadcast to everyone and let the day pass."""
    id_ = await begin(world, **request)
    working = await worker(world)
    while await working.turn():
        pass
    return id_


def states(world: TimedWorld, channel: str = "sms") -> dict[str, tuple[State, Reason]]:
    """Return the state of each user's deliveries; of several the last counts."""
    world.ledger.fold()
    found = {}
    for frame in world.events():
        if isinstance(frame, ChunkFrame) and frame.channel == channel:
            kept = world.ledger.chunks[frame.chunk_id]
            for user_id, state, reason in zip(frame.user_ids, kept.states, kept.reasons, strict=True):
                found[user_id] = (State(state), Reason(reason))
    return found


def reached(world: TimedWorld, channel: object = SMS) -> list[str]:
    """Return whose deliveries were handed to the senders."""
    frames = [frame for frame in world.events(topics.deliver(channel, "bulk")) if isinstance(frame, ChunkFrame)]
    return [
        user
        for frame in frames
        for user, state in zip(frame.user_ids, frame.states, strict=True)
        if state == State.PLANNED
    ]


def test_a_user_in_quiet_hours_is_held_and_released_once(people):
    async def scenario(world: TimedWorld) -> None:
        await broadcast(world)
        assert states(world)["night"] == (State.HELD, Reason.QUIET_HOURS)
        assert states(world)["day"] == (State.PLANNED, Reason.NONE)
        assert "night" not in reached(world)
        await world.pass_time(8 * HOUR_MS)
        assert "night" not in reached(world)
        await world.pass_time(2 * HOUR_MS)
        assert reached(world).count("night") == 1
        assert states(world)["night"] == (State.PLANNED, Reason.NONE)
        everyone = reached(world)
        assert len(everyone) == len(set(everyone))

    run(scenario(TimedWorld(people)))


def test_a_delivery_cancelled_while_held_is_never_sent(people):
    async def scenario(world: TimedWorld) -> None:
        id_ = await broadcast(world)
        await world.journal.set_cursor_status(id_, "cancelled", ("done",), world.clock.now_ms())
        await world.pass_time(DAY_MS)
        assert states(world)["night"] == (State.SKIPPED, Reason.CANCELLED)
        assert "night" not in reached(world)

    run(scenario(TimedWorld(people)))


def test_a_cap_counts_broadcasts_and_single_messages_alike(people):
    async def scenario(world: TimedWorld) -> None:
        await broadcast(world, number=1, category="capped")
        await broadcast(world, number=2, category="capped")
        await broadcast(world, number=3, category="capped")
        assert reached(world).count("day") == 2
        await world.pass_time(12 * HOUR_MS)
        await broadcast(world, number=4, category="capped")
        assert reached(world).count("day") == 3

    run(scenario(TimedWorld(people)))


def test_over_a_cap_a_broadcast_waits_or_goes_into_a_digest(people):
    async def scenario(world: TimedWorld) -> None:
        await broadcast(world, number=1, category="deferred")
        await broadcast(world, number=2, category="deferred")
        assert reached(world).count("day") == 1
        await world.pass_time(HOUR_MS + 1_000)
        assert reached(world).count("day") == 2
        await broadcast(world, number=3, category="digested")
        await broadcast(world, number=4, category="digested")
        assert states(world)["day"] == (State.MERGED, Reason.MERGED)
        started = [frame for frame in world.events(topics.accepted("bulk")) if isinstance(frame, AcceptedFrame)]
        assert "day" in [request.to[0].user_id for frame in started for request in frame.requests]

    run(scenario(TimedWorld(people)))


def test_a_route_uses_the_next_channel_only_for_users_the_first_does_not_reach(people):
    async def scenario(world: TimedWorld) -> None:
        await broadcast(world, category="either", channels=None)
        by_push, by_sms = set(reached(world, PUSH)), set(reached(world, SMS))
        assert {"day", "lost", "half"} <= by_push
        assert not by_push & by_sms
        assert "u1" in by_push
        assert "u9" in by_sms, "no device, but a phone"

    run(scenario(TimedWorld(people)))


def test_everyone_gets_it_at_their_local_time(people):
    """Virtual time begins at 22:13 UTC; the wall clock of everyone here is UTC or, without a zone, the tenant's."""

    async def scenario(world: TimedWorld) -> None:
        nine = START_MS - START_MS % DAY_MS + DAY_MS + 9 * HOUR_MS
        await broadcast(world, audience=Audience(local_ms=nine), category="awake")
        assert {state for state, _ in states(world).values()} <= {State.HELD, State.SKIPPED}
        assert reached(world) == []
        await world.pass_time(nine - world.clock.now_ms() - 1)
        assert reached(world) == []
        await world.pass_time(2)
        assert {"night", "day"} <= set(reached(world))
        assert len(reached(world)) == len(set(reached(world)))

    run(scenario(TimedWorld(people)))


def test_a_broadcast_with_a_workflow_starts_it_for_each_member_once(people):
    async def scenario(world: TimedWorld) -> None:
        await broadcast(world, template="", channels=None, workflow="summary", workflow_version=1)
        started = [frame for frame in world.events(topics.accepted("bulk")) if isinstance(frame, AcceptedFrame)]
        users = [request.to[0].user_id for frame in started for request in frame.requests]
        assert len(users) == len(set(users)) == 34
        ids = [id_ for frame in started for id_ in frame.notification_ids]
        assert len(set(ids)) == 34
        await world.pass_time(HOUR_MS)
        assert "accepted-day" in world.to_send()

    run(scenario(TimedWorld(people)))


def test_a_crashed_page_leaves_the_same_chunks_and_timers(people):
    async def scenario(world: TimedWorld) -> None:
        await begin(world)
        working = await worker(world)
        (cursor,) = Glance(world.journal).cursors()
        job = msgspec.msgpack.decode(cursor.payload, type=BroadcastJob)
        now_ms, pages = world.clock.now_ms(), working._pages
        first, again = [
            plan_page(await pages.gather(cursor, job, now_ms), cursor, job, pages.contents, 1, now_ms) for _ in range(2)
        ]
        assert first.frames == again.frames
        assert first.timers == again.timers

    run(scenario(TimedWorld(people)))
