"""Quiet hours and caps: what waits is decided again when its time has come, and sent once."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from clarion.domain.channel import Channel
from clarion.domain.decision import Reason, Send, Skip
from clarion.domain.delivery_state import State
from clarion.domain.limits_deciding import YEAR_MS
from clarion.domain.user import User
from clarion.journal import topics
from clarion.journal.events import Recipient
from clarion.plan import batch
from clarion.plan.rules.held import settled
from clarion.plan.rules.setting import Planned
from clarion.plan.work import work_of
from clarion.plan.worker import PlanWorker
from clarion.ports.directory import Directory
from tests.look import Glance
from tests.stages.virtual import run
from tests.stages.world import TENANT, World
from tests.unit.plan.deciding import HOUR_MS, Story

NIGHT, DAY = Recipient("night"), Recipient("day")


def test_quiet_hours_hold_and_release_at_the_first_allowed_minute(people):
    async def story(world: Story) -> None:
        await world.accept(NIGHT)
        await world.plan()
        assert world.fates() == [("sms", State.HELD, Reason.QUIET_HOURS)]
        (held,) = world.ledger.rows.values()
        assert held.retry_ms is not None
        assert held.retry_ms % (24 * HOUR_MS) == 7 * HOUR_MS, "07:00 UTC"
        await world.pass_time(8 * HOUR_MS)
        assert world.to_send() == []
        await world.pass_time(HOUR_MS)
        assert world.to_send() == ["accepted-night"]
        assert world.fates() == [("sms", State.PLANNED, Reason.NONE)]
        assert [told.event for told in world.ledger.attempts] == ["held", "released"]
        await world.pass_time(YEAR_MS)
        assert world.to_send() == ["accepted-night"]

    run(story(Story(people)))


class Changing:
    """A directory whose users change: `changes` maps ids to what a user has become, None for one who was erased."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.changes: dict[str, User | None] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._directory, name)

    async def users(self, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, User]]:
        return {
            tenant: self._now(users, wanted[tenant]) for tenant, users in (await self._directory.users(wanted)).items()
        }

    def _now(self, users: dict[str, User], user_ids: Collection[str]) -> dict[str, User]:
        found = users | {k: v for k, v in self.changes.items() if k in user_ids}
        return {user_id: user for user_id, user in found.items() if user is not None}


@pytest.mark.parametrize(
    ("change", "reason", "sent"),
    [
        (lambda _: None, Reason.UNKNOWN_USER, []),
        (lambda user: replace(user, phone=None), Reason.NO_CONTACT, []),
        (lambda user: replace(user, phone="accepted-new"), Reason.NO_CONTACT, ["accepted-new"]),
        (lambda user: replace(user, profile_id=0, phone="accepted-night"), Reason.NONE, ["accepted-night"]),
    ],
    ids=["erased", "without a phone", "with another phone", "without quiet hours"],
)
def test_what_was_held_ends_however_its_user_has_changed(people, change, reason, sent):
    async def story(world: Story) -> None:
        await world.accept(NIGHT)
        await world.plan()
        (held,) = world.ledger.rows.values() if world.fates() else ()
        changing.changes["night"] = change((await people.users({TENANT: ["night"]}))[TENANT]["night"])
        await world.pass_time(10 * HOUR_MS)
        assert world.to_send() == sent
        assert len(world.fates()) == max(1, len(sent) + (reason is not Reason.NONE))
        assert Reason(held.reason) is reason
        assert held.state is (State.PLANNED if reason is Reason.NONE else State.SKIPPED)

    changing = Changing(people)
    run(story(Story(changing)))


def test_a_critical_message_and_one_of_a_wakeful_category_go_at_once(people):
    async def story(world: Story) -> None:
        await world.accept(NIGHT, category="alarm")
        await world.accept(NIGHT, category="awake")
        await world.plan()
        assert world.to_send() == ["accepted-night"] * 2

    run(story(Story(people)))


def test_what_would_be_held_for_too_long_is_not_sent(people):
    async def story(world: Story) -> None:
        await world.accept(NIGHT, category="hasty")
        await world.plan()
        assert world.fates() == [("sms", State.SKIPPED, Reason.QUIET_HOURS)]
        assert Glance(world.journal).next_due_ms() is None

    run(story(Story(people)))


def test_a_hold_that_dies_before_its_append_is_planned_again_alike(people):
    async def story(world: Story) -> None:
        await world.accept(NIGHT)
        lease = await world.journal.acquire(topics.GROUP_PLAN, 0, "one", 10_000)
        assert lease is not None
        first = world.planner()
        await first._look([lease])
        frames = first._next(0, lease)
        assert frames is not None and frames.read
        now_ms = world.clock.now_ms()
        lost = await first._decided(work_of(frames.batch, now_ms), lease, now_ms)
        again = await first._decided(work_of(frames.batch, now_ms), lease, now_ms)
        assert lost.timers == again.timers
        assert lost.frames == again.frames

    run(story(Story(people)))


def test_over_a_cap_a_message_is_skipped(people):
    async def story(world: Story) -> None:
        for _ in range(4):
            await world.accept(DAY, category="capped")
        await world.plan()
        assert [state for _, state, _ in world.fates()] == [State.PLANNED] * 2 + [State.SKIPPED] * 2
        await world.pass_time(12 * HOUR_MS)
        await world.accept(DAY, category="capped")
        await world.plan()
        assert world.to_send() == ["accepted-day"] * 3, "half a day later there is room for one more"

    run(story(Story(people)))


def test_over_a_cap_a_message_waits_for_room(people):
    async def story(world: Story) -> None:
        for _ in range(3):
            await world.accept(DAY, category="deferred")
        await world.plan()
        assert [reason for _, _, reason in world.fates()] == [Reason.NONE, Reason.CAPPED, Reason.CAPPED]
        assert len(world.to_send()) == 1
        await world.pass_time(HOUR_MS)
        assert len(world.to_send()) == 2
        await world.pass_time(HOUR_MS)
        assert len(world.to_send()) == 3
        assert [state for _, state, _ in world.fates()] == [State.PLANNED] * 3

    run(story(Story(people)))


def test_over_a_cap_messages_go_into_a_digest(people):
    async def story(world: Story) -> None:
        for _ in range(4):
            await world.accept(DAY, category="digested", channels=["sms"])
        await world.plan()
        assert [state for _, state, _ in world.fates()] == [State.PLANNED] + [State.MERGED] * 3
        assert ("plan_rounds",) not in world.notes.counts, "who goes into a digest is foreseen"
        await world.pass_time(HOUR_MS)
        assert len(world.to_send()) == 2, "one at once, and one digest of three"

    run(story(Story(people)))


def test_a_digest_that_nobody_foresaw_takes_one_more_round(people, monkeypatch):
    monkeypatch.setattr("clarion.plan.gather.likely_digests", lambda *_: [])

    async def story(world: Story) -> None:
        for _ in range(4):
            await world.accept(DAY, category="digested", channels=["sms"])
        await world.plan()
        assert [state for _, state, _ in world.fates()] == [State.PLANNED] + [State.MERGED] * 3
        assert world.notes.counts["plan_rounds",] == 1, "whatever three digests take is asked for at once"

    run(story(Story(people)))


def test_two_planners_never_let_more_through_than_a_cap(people):
    """Requests about one person may lie in several partitions, planned by several processes at once."""

    async def story(world: Story) -> None:
        for _ in range(12):
            await world.accept(DAY, category="capped")
        await asyncio.gather(*(_plan_partition(world, world.planner(), partition) for partition in range(4)))
        assert len(world.to_send()) == 2

    run(story(Story(people, partitions=4)))


async def _plan_partition(world: World, planner: PlanWorker, partition: int) -> None:
    lease = await world.journal.acquire(topics.GROUP_PLAN, partition, f"planner-{partition}", 10_000)
    assert lease is not None
    while await planner.step(partition, lease):
        pass


def test_what_is_said_of_a_channel_is_said_of_every_address_that_was_held():
    no = Skip(Reason.OPTED_OUT, "user preference *.push")
    assert settled([Planned(Channel.PUSH, "", no)], Channel.PUSH, ["a", "b"]) == [
        Planned(Channel.PUSH, "a", no),
        Planned(Channel.PUSH, "b", no),
    ]
    now = [Planned(Channel.PUSH, "b", Send("b")), Planned(Channel.PUSH, "c", Send("c"))]
    gone = Skip(Reason.NO_CONTACT, "the address is not the user's any more")
    assert settled(now, Channel.PUSH, ["a", "b"]) == [*now, Planned(Channel.PUSH, "a", gone)]
    for said in (no, Send("")):
        inbox = [Planned(Channel.INAPP, "", said)]
        assert settled(inbox, Channel.INAPP, [""]) == inbox


def test_a_notification_that_cannot_be_planned_costs_nobody_their_cap(people, monkeypatch):
    """The batch is decided again one by one; what was counted at the first go is given back."""

    async def story(world: Story) -> None:
        real = batch.decide

        def failing(setting, user, *rest):
            if user.user_id == "lost":
                raise LookupError("broken")
            return real(setting, user, *rest)

        monkeypatch.setattr(batch, "decide", failing)
        await world.accept(DAY, category="capped")
        await world.accept(Recipient("lost"), category="capped")
        await world.accept(DAY, category="capped")
        await world.plan()
        assert world.to_send() == ["accepted-day"] * 2, "as many as the cap allows"

    run(story(Story(people)))
