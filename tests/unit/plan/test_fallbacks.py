"""Routes over time: a channel that fails, or is not enough in time, is followed by the next one, once."""

from clarion.domain.channel import Channel
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import State
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import ReceiptFrame, Recipient
from clarion.ports.stage_store import StageResult
from clarion.ports.streams import Frame
from tests.look import Glance
from tests.stages.virtual import run, until
from tests.unit.plan.deciding import HOUR_MS, PUSH, SMS, Story

MINUTE_MS = 60_000
DAY, LOST, HALF = Recipient("day"), Recipient("lost"), Recipient("half")


async def asked(world: Story, to: Recipient, category: str) -> bytes:
    id_ = await world.accept(to, category=category, channels=None)
    await world.plan()
    return id_


async def sent(world: Story, channel: Channel, number: int) -> None:
    """Let the senders of a channel work until so many deliveries have come to their end."""
    pool = await world.pool(channel=channel)

    def ended() -> bool:
        world.ledger.fold()
        rows = [row for row in world.ledger.rows.values() if row.channel == channel]
        return len([row for row in rows if row.state >= State.SENT]) >= number

    await until(ended)
    await pool.drain()


def test_without_waiting_the_first_that_can_be_sent_is_all(people):
    async def story(world: Story) -> None:
        await asked(world, DAY, "either")
        await world.pass_time(HOUR_MS)
        assert (world.to_send(PUSH), world.to_send(SMS)) == (["accepted-push"], [])

    run(story(Story(people)))


def test_when_every_device_has_failed_the_next_channel_follows(people):
    async def story(world: Story) -> None:
        await asked(world, LOST, "sure")
        assert len(world.to_send(PUSH)) == 2
        await sent(world, PUSH, 2)
        await world.plan()
        assert world.to_send(SMS) == ["accepted-lost"]
        await world.pass_time(10 * 24 * HOUR_MS)
        assert world.to_send(SMS) == ["accepted-lost"]

    run(story(Story(people)))


def test_one_device_that_got_it_is_enough(people):
    async def story(world: Story) -> None:
        await asked(world, HALF, "sure")
        await sent(world, PUSH, 2)
        await world.pass_time(10 * 24 * HOUR_MS)
        assert world.to_send(SMS) == []
        assert Glance(world.journal).cells_under(0, b"r", 10) == [], "nothing is kept of it for good"

    run(story(Story(people)))


def test_a_push_unseen_for_two_minutes_becomes_an_sms(people):
    async def story(world: Story) -> None:
        await asked(world, DAY, "seen")
        await sent(world, PUSH, 1)
        await world.pass_time(2 * MINUTE_MS - 1_000)
        assert world.to_send(SMS) == []
        await world.pass_time(2_000)
        assert world.to_send(SMS) == ["accepted-day"]
        world.ledger.fold()
        (why,) = [told.detail for told in world.ledger.attempts if told.event == "followed"]
        assert why == "push was not seen within 2m"
        await world.pass_time(10 * 24 * HOUR_MS)
        assert world.to_send(SMS) == ["accepted-day"]

    run(story(Story(people)))


def test_a_push_that_was_seen_stays_alone(people):
    async def story(world: Story) -> None:
        id_ = await asked(world, DAY, "seen")
        await sent(world, PUSH, 1)
        world.ledger.sightings["acme", id_, "day"] = world.clock.now_ms()
        await world.pass_time(24 * HOUR_MS)
        assert world.to_send(SMS) == []

    run(story(Story(people)))


def test_failing_and_running_out_of_time_go_on_once(people):
    async def story(world: Story) -> None:
        await asked(world, LOST, "seen")
        await sent(world, PUSH, 2)
        await world.pass_time(MINUTE_MS)
        assert world.to_send(SMS) == ["accepted-lost"]
        await world.pass_time(10 * 24 * HOUR_MS)
        assert world.to_send(SMS) == ["accepted-lost"]
        assert Glance(world.journal).cells_under(0, b"r", 10) == []

    run(story(Story(people)))


def test_failing_after_the_time_is_over_does_not_go_on_again(people):
    async def story(world: Story) -> None:
        await asked(world, LOST, "seen")
        await world.pass_time(3 * MINUTE_MS)
        assert world.to_send(SMS) == ["accepted-lost"]
        await sent(world, PUSH, 2)
        await world.pass_time(10 * 24 * HOUR_MS)
        assert world.to_send(SMS) == ["accepted-lost"]
        assert [reason for channel, _, reason in world.fates() if channel == "sms"] == [Reason.NONE]

    run(story(Story(people)))


def test_a_sighting_of_an_earlier_message_does_not_count(people):
    async def story(world: Story) -> None:
        id_ = await world.accept(DAY, category="seen", channels=None)
        world.ledger.sightings["acme", id_, "day"] = world.clock.now_ms() - 1
        await world.plan()
        await world.pass_time(3 * MINUTE_MS)
        assert world.to_send(SMS) == ["accepted-day"]

    run(story(Story(people)))


def test_a_route_that_waits_to_be_sent_goes_on_when_sending_takes_too_long(people):
    async def story(world: Story) -> None:
        await asked(world, DAY, "slow")
        await sent(world, PUSH, 1)
        await world.pass_time(3 * MINUTE_MS)
        assert world.to_send(SMS) == []
        await asked(world, DAY, "slow")
        await world.pass_time(3 * MINUTE_MS)
        assert world.to_send(SMS) == ["accepted-day"]

    run(story(Story(people)))


async def told(world: Story, kind: str) -> None:
    """Have the provider tell something of the only push."""
    world.ledger.fold()
    (row,) = [row for row in world.ledger.rows.values() if row.channel == PUSH]
    now_ms = world.clock.now_ms()
    frame = ReceiptFrame(PUSH, "p", "v", [row.id], [row.tenant], [None], [kind], [now_ms], [""], [""], [""])
    await world.journal.commit(StageResult(frames=[Frame(topics.OUTCOMES, row.id[6], 1, encode(frame, 1))]))
    world.ledger.fold()


def test_a_receipt_meets_a_route_that_waits_for_delivery(people):
    async def story(world: Story) -> None:
        await asked(world, DAY, "arrived")
        await sent(world, PUSH, 1)
        await told(world, "delivered")
        await world.pass_time(24 * HOUR_MS)
        assert world.to_send(SMS) == []

    run(story(Story(people)))


def test_without_one_or_with_bad_news_the_route_goes_on(people):
    async def story(world: Story, kind: str | None) -> None:
        await asked(world, DAY, "arrived")
        await sent(world, PUSH, 1)
        if kind is not None:
            await told(world, kind)
        await world.pass_time(3 * MINUTE_MS)
        assert world.to_send(SMS) == ["accepted-day"]

    for kind in (None, "bounced", "opened"):
        run(story(Story(people), kind))
