"""Planning single notifications: every recipient and channel gets a decision, and replays get the same ids."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain import ids
from clarion.domain.channel import Channel, Lane
from clarion.domain.decision import Reason
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AcceptedFrame, DeliverFrame, PlannedFrame, Recipient, Request
from clarion.journal.rows import deliver_rows
from clarion.ports.stage_store import StageResult
from clarion.ports.streams import Frame
from tests.look import Glance
from tests.stages.virtual import run
from tests.stages.world import TENANT, World

CHANNELS = ["sms", "push", "inapp"]

recipients = st.builds(Recipient, user_id=st.sampled_from([f"u{n}" for n in range(30)] + ["gone"])) | st.builds(
    Recipient,
    contacts=st.dictionaries(
        st.sampled_from(["phone", "push", "email"]), st.sampled_from(["one", "two", "three"]), min_size=1
    ),
)


def planned_rows(world: World, partition: int = 0) -> list[dict[str, object]]:
    """Return the planned deliveries, one row each, in the words of the planned frame."""
    rows = []
    for frame in world.events():
        if isinstance(frame, PlannedFrame):
            columns = (frame.delivery_ids, frame.user_ids, frame.channels, frame.addresses, frame.reasons)
            names = ("id", "user", "channel", "to", "reason")
            rows += [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return rows


def to_send(world: World) -> list[bytes]:
    lanes = [topics.deliver(Channel(channel), lane) for channel in CHANNELS for lane in Lane]
    frames = [frame for topic in lanes for frame in world.events(topic)]
    return [row.delivery_id for frame in frames if isinstance(frame, DeliverFrame) for row in deliver_rows(frame)]


@given(to=st.lists(recipients, min_size=1, max_size=6), category=st.sampled_from([None, "marketing"]))
def test_everyone_gets_a_decision_on_every_channel_and_no_delivery_goes_twice(directory, to, category):
    async def scenario(world: World) -> None:
        await world.accept(*to, channels=CHANNELS, category=category)
        await world.plan()

    world = World(directory)
    run(scenario(world))
    planned = planned_rows(world)
    assert len({row["id"] for row in planned}) == len(planned)
    assert sorted(to_send(world)) == sorted(row["id"] for row in planned if not row["reason"])
    for one in to:
        if one.user_id:
            assert {row["channel"] for row in planned if row["user"] == one.user_id} == set(CHANNELS)
        else:
            for kind, channel in (("phone", "sms"), ("push", "push")):
                if kind in (one.contacts or {}) and not (category and channel == "push"):  # off by the category
                    found = [row for row in planned if (row["channel"], row["to"]) == (channel, one.contacts[kind])]
                    assert [row for row in found if row["user"] == ""], "each address is decided on once"
    strangers = {msgspec.json.encode(one.contacts, order="sorted") for one in to if not one.user_id}
    assert not strangers or [row for row in planned if row["user"] == "" and row["channel"] == "inapp"]


def test_a_replay_yields_the_same_deliveries(directory):
    async def scenario(world: World) -> None:
        request = Request([Recipient(f"u{n}") for n in range(10)], "hello", None, CHANNELS, Lane.NORMAL, {})
        id_ = ids.notification_id(0, 0, bytes(ids.ENTROPY_BYTES))
        frame = AcceptedFrame([id_], [TENANT], [0], [request])
        await world.journal.commit(StageResult(frames=[Frame(topics.accepted(Lane.NORMAL), 0, 1, encode(frame, 1))]))
        await world.plan()

    result = []
    for _ in range(2):
        world = World(directory)
        run(scenario(world))
        result.append(planned_rows(world))
    assert result[0] == result[1]
    assert {row["reason"] for row in result[0]} >= {0, Reason.OPTED_OUT, Reason.NO_CONTACT}


def test_planning_and_its_commit_are_one_step(directory):
    async def scenario(world: World) -> None:
        await world.accept("accepted-1")
        await world.plan()
        before = Glance(world.journal).head(topics.OUTCOMES, 0)
        assert await world.plan() == 0
        assert Glance(world.journal).head(topics.OUTCOMES, 0) == before
        assert Glance(world.journal).backlog(topics.GROUP_PLAN) == 0

    run(scenario(World(directory)))


def test_a_scheduled_notification_waits_for_its_timer(directory):
    async def scenario(world: World) -> None:
        due_ms = world.clock.now_ms() + 60_000
        id_ = await world.accept("accepted-1", send_at_ms=due_ms)
        await world.plan()
        (frame,) = world.events()
        assert (frame.scheduled_ms, frame.delivery_ids) == ([due_ms], [])
        assert Glance(world.journal).next_due_ms() == due_ms
        world.clock.wall_ahead_ms = 60_000
        assert await world.journal.fire(world.clock.now_ms(), 10) == 1
        assert await world.plan() == 1
        (row,) = planned_rows(world)
        assert row["id"][: len(id_)] == id_

    run(scenario(World(directory)))


def test_a_clock_that_goes_back_before_planning_only_waits_again(directory):
    async def scenario(world: World) -> None:
        await world.accept("accepted-1", send_at_ms=world.clock.now_ms() + 60_000)
        await world.plan()
        await world.journal.fire(world.clock.now_ms() + 60_000, 10)
        world.clock.wall_ahead_ms = -5_000
        await world.plan()
        assert planned_rows(world) == []
        world.clock.wall_ahead_ms = 60_000
        assert await world.journal.fire(world.clock.now_ms(), 10) == 1
        await world.plan()
        assert len(planned_rows(world)) == 1

    run(scenario(World(directory)))


def test_a_damaged_frame_does_not_stop_those_behind_it(directory):
    async def scenario(world: World) -> None:
        topic = topics.accepted(Lane.NORMAL)
        await world.journal.commit(StageResult(frames=[Frame(topic, 0, 1, b"CF\x01 damaged frame")]))
        await world.accept("accepted-1")
        await world.plan()
        assert len(planned_rows(world)) == 1
        assert "frame_quarantined" in world.notes.lines

    run(scenario(World(directory)))


def test_urgent_lanes_are_planned_first_and_a_step_is_bounded(directory):
    async def scenario(world: World) -> None:
        for number in range(150):
            await world.accept(f"accepted-{number}")
        await world.accept("accepted-now", lane=Lane.CRITICAL)
        worker = world.planner()
        lease = await world.journal.acquire(topics.GROUP_PLAN, 0, "planner", 10_000)
        assert await worker.step(0, lease) == 65, "one read of each lane"
        assert planned_rows(world)[0]["to"] == "accepted-now"
        assert await worker.step(0, lease) == 64

    run(scenario(World(directory)))


def test_a_removed_template_ends_the_delivery_with_its_reason(directory):
    async def scenario(world: World) -> None:
        await world.accept("accepted-1", template="gone")
        await world.plan()
        assert [row["reason"] for row in planned_rows(world)] == [Reason.NO_CONTENT]

    run(scenario(World(directory)))
