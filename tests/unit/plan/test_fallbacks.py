"""Routes over time: a channel that fails, or does not succeed in time, is followed by the next one, once."""

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
from tests.unit.plan.deciding import HOUR_MS, PUSH, SMS, TimedWorld

MINUTE_MS = 60_000
DAY, LOST, HALF = Recipient("day"), Recipient("lost"), Recipient("half")


async def asked(world: TimedWorld, to: Recipient, category: str) -> bytes:
    id_ = await world.accept(to, category=category, channels=None)
    await world.plan()
    return id_


async def sent(world: TimedWorld, channel: Channel, number: int) -> None:
    """Let the senders of a channel work until the given number of deliveries has ended."""
    pool = await world.pool(channel=channel)

    def ended() -> bool:
        world.ledger.fold()
        rows = [row for row in world.ledger.rows.values() if row.channel == channel]
        return len([row for row in rows if row.state >= State.SENT]) >= number

    await until(ended)
    await pool.drain()


def test_without_waiting_the_first_that_can_be_sent_is_all(people):
    async def scenario(world: TimedWorld) -> None:
        await asked(world, DAY, "either")
        await world.pass_time(HOUR_MS)
        assert (world.to_send(PUSH), world.to_send(SMS)) == (["accepted-push"], [])

    run(scenario(TimedWorld(people)))


def test_when_every_device_has_failed_the_next_channel_follows(people):
    async def scenario(world: TimedWorld) -> None:
        await asked(world, LOST, "sure")
        assert len(world.to_send(PUSH)) == 2
        await sent(world, PUSH, 2)
        await world.plan()
        assert world.to_send(SMS) == ["accepted-lost"]
        await world.pass_time(10 * 24 * HOUR_MS)
        assert world.to_send(SMS) == ["accepted-lost"]

    run(scenario(TimedWorld(people)))


def test_one_device_that_got_it_is_enough(people):
    async def scenario(world: TimedWorld) -> None:
        await asked(world, HALF, "sure")
        await sent(world, PUSH, 2)
        await world.pass_time(10 * 24 * HOUR_MS)
        assert world.to_send(SMS) == []
        assert Glance(world.journal).cells_under(0, b"r", 10) == [], "nothing of it is stored permanently"

    run(scenario(TimedWorld(people)))


def test_a_push_unseen_for_two_minutes_becomes_an_sms(people):
    async def scenario(world: TimedWorld) -> None:
        await asked(world, DAY, "seen")
        await sent(world, PUSH, 1)
        await world.pass_time(2 * MINUTE_MS - 1_000)
        assert world.to_send(SMS) == []
        await world.pass_time(2_000)
        assert world.to_send(SMS) == ["accepted-day"]
        world.ledger.fold()
        (cause,) = [result.detail for result in world.ledger.attempts if result.event == "followed"]
        assert cause == "push was not seen within 2m"
        await world.pass_time(10 * 24 * HOUR_MS)
        assert world.to_send(SMS) == ["accepted-day"]

    run(scenario(TimedWorld(people)))


def test_a_push_that_was_seen_stays_alone(people):
    async def scenario(world: TimedWorld) -> None:
        id_ = await asked(world, DAY, "seen")
        await sent(world, PUSH, 1)
        world.ledger.seen_receipts["acme", id_, "day"] = world.clock.now_ms()
        await world.pass_time(24 * HOUR_MS)
        assert world.to_send(SMS) == []

    run(scenario(TimedWorld(people)))


def test_failure_and_timeout_continue_once(people):
    async def scenario(world: TimedWorld) -> None:
        await asked(world, LOST, "seen")
        await sent(world, PUSH, 2)
        await world.pass_time(MINUTE_MS)
        assert world.to_send(SMS) == ["accepted-lost"]
        await world.pass_time(10 * 24 * HOUR_MS)
        assert world.to_send(SMS) == ["accepted-lost"]
        assert Glance(world.journal).cells_under(0, b"r", 10) == []

    run(scenario(TimedWorld(people)))


def test_a_failure_after_the_timeout_does_not_continue_again(people):
    async def scenario(world: TimedWorld) -> None:
        await asked(world, LOST, "seen")
        await world.pass_time(3 * MINUTE_MS)
        assert world.to_send(SMS) == ["accepted-lost"]
        await sent(world, PUSH, 2)
        await world.pass_time(10 * 24 * HOUR_MS)
        assert world.to_send(SMS) == ["accepted-lost"]
        assert [reason for channel, _, reason in world.fates() if channel == "sms"] == [Reason.NONE]

    run(scenario(TimedWorld(people)))


def test_a_seen_event_of_an_earlier_message_does_not_count(people):
    async def scenario(world: TimedWorld) -> None:
        id_ = await world.accept(DAY, category="seen", channels=None)
        world.ledger.seen_receipts["acme", id_, "day"] = world.clock.now_ms() - 1
        await world.plan()
        await world.pass_time(3 * MINUTE_MS)
        assert world.to_send(SMS) == ["accepted-day"]

    run(scenario(TimedWorld(people)))


def test_a_route_continues_when_sending_takes_too_long(people):
    async def scenario(world: TimedWorld) -> None:
        await asked(world, DAY, "slow")
        await sent(world, PUSH, 1)
        await world.pass_time(3 * MINUTE_MS)
        assert world.to_send(SMS) == []
        await asked(world, DAY, "slow")
        await world.pass_time(3 * MINUTE_MS)
        assert world.to_send(SMS) == ["accepted-day"]

    run(scenario(TimedWorld(people)))


async def advance(world: TimedWorld, kind: str) -> None:
    """Let the provider send a receipt for the only push."""
    world.ledger.fold()
    (row,) = [row for row in world.ledger.rows.values() if row.channel == PUSH]
    now_ms = world.clock.now_ms()
    frame = ReceiptFrame(PUSH, "p", "v", [row.id], [row.tenant], [None], [kind], [now_ms], [""], [""], [""])
    await world.journal.commit(StageResult(frames=[Frame(topics.OUTCOMES, row.id[6], 1, encode(frame, 1))]))
    world.ledger.fold()


def test_a_receipt_meets_a_route_that_waits_for_delivery(people):
    async def scenario(world: TimedWorld) -> None:
        await asked(world, DAY, "arrived")
        await sent(world, PUSH, 1)
        await advance(world, "delivered")
        await world.pass_time(24 * HOUR_MS)
        assert world.to_send(SMS) == []

    run(scenario(TimedWorld(people)))


def test_without_a_receipt_or_with_a_bounce_the_route_continues(people):
    async def scenario(world: TimedWorld, kind: str | None) -> None:
        await asked(world, DAY, "arrived")
        await sent(world, PUSH, 1)
        if kind is not None:
            await advance(world, kind)
        await world.pass_time(3 * MINUTE_MS)
        assert world.to_send(SMS) == ["accepted-day"]

    for kind in (None, "bounced", "opened"):
        run(scenario(TimedWorld(people), kind))
