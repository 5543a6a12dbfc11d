"""Quiet hours and caps: a held delivery is decided again when its time has come, and sent once."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from clarion.domain.channel import Channel
from clarion.domain.decision import Reason, Send, Skip
from clarion.domain.delivery_state import State
from clarion.domain.limits import YEAR_MS
from clarion.domain.user import User
from clarion.journal import topics
from clarion.journal.events import Recipient
from clarion.plan import batch
from clarion.plan.rules.held import settle
from clarion.plan.rules.request_facts import Planned
from clarion.plan.work import work_of
from clarion.plan.worker import PlanWorker
from clarion.ports.directory import Directory
from tests.look import Glance
from tests.stages.virtual import run
from tests.stages.world import TENANT, World
from tests.unit.plan.deciding import HOUR_MS, TimedWorld

NIGHT, DAY = Recipient("night"), Recipient("day")


def test_quiet_hours_hold_and_release_at_the_first_allowed_minute(people):
    async def scenario(world: TimedWorld) -> None:
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
        assert [result.event for result in world.ledger.attempts] == ["held", "released"]
        await world.pass_time(YEAR_MS)
        assert world.to_send() == ["accepted-night"]

    run(scenario(TimedWorld(people)))


class Changing:
    """A directory whose users change: `changes` maps ids to the changed user, None for an erased one."""

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
def test_a_held_delivery_ends_however_its_user_has_changed(people, change, reason, sent):
    async def scenario(world: TimedWorld) -> None:
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
    run(scenario(TimedWorld(changing)))


def test_messages_of_critical_and_exempt_categories_are_sent_at_once(people):
    async def scenario(world: TimedWorld) -> None:
        await world.accept(NIGHT, category="alarm")
        await world.accept(NIGHT, category="awake")
        await world.plan()
        assert world.to_send() == ["accepted-night"] * 2

    run(scenario(TimedWorld(people)))


def test_a_message_held_for_too_long_is_not_sent(people):
    async def scenario(world: TimedWorld) -> None:
        await world.accept(NIGHT, category="hasty")
        await world.plan()
        assert world.fates() == [("sms", State.SKIPPED, Reason.QUIET_HOURS)]
        assert Glance(world.journal).next_due_ms() is None

    run(scenario(TimedWorld(people)))


def test_a_hold_that_dies_before_its_append_is_planned_again_alike(people):
    async def scenario(world: TimedWorld) -> None:
        await world.accept(NIGHT)
        lease = await world.journal.acquire(topics.GROUP_PLAN, 0, "one", 10_000)
        assert lease is not None
        first = world.planner()
        await first._read([lease])
        frames = first._next(0, lease)
        assert frames is not None and frames.read
        now_ms = world.clock.now_ms()
        lost = await first._decide(work_of(frames.batch, now_ms), lease, now_ms)
        again = await first._decide(work_of(frames.batch, now_ms), lease, now_ms)
        assert lost.timers == again.timers
        assert lost.frames == again.frames

    run(scenario(TimedWorld(people)))


def test_over_a_cap_a_message_is_skipped(people):
    async def scenario(world: TimedWorld) -> None:
        for _ in range(4):
            await world.accept(DAY, category="capped")
        await world.plan()
        assert [state for _, state, _ in world.fates()] == [State.PLANNED] * 2 + [State.SKIPPED] * 2
        await world.pass_time(12 * HOUR_MS)
        await world.accept(DAY, category="capped")
        await world.plan()
        assert world.to_send() == ["accepted-day"] * 3, "half a day later there is room for one more"

    run(scenario(TimedWorld(people)))


def test_over_a_cap_a_message_waits_for_room(people):
    async def scenario(world: TimedWorld) -> None:
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

    run(scenario(TimedWorld(people)))


def test_over_a_cap_messages_go_into_a_digest(people):
    async def scenario(world: TimedWorld) -> None:
        for _ in range(4):
            await world.accept(DAY, category="digested", channels=["sms"])
        await world.plan()
        assert [state for _, state, _ in world.fates()] == [State.PLANNED] + [State.MERGED] * 3
        assert ("plan_rounds",) not in world.notes.counts, "the members of a digest are prefetched"
        await world.pass_time(HOUR_MS)
        assert len(world.to_send()) == 2, "one at once, and one digest of three"

    run(scenario(TimedWorld(people)))


def test_a_digest_without_a_prefetch_takes_one_more_round(people, monkeypatch):
    monkeypatch.setattr("clarion.plan.gather.likely_digests", lambda *_: [])

    async def scenario(world: TimedWorld) -> None:
        for _ in range(4):
            await world.accept(DAY, category="digested", channels=["sms"])
        await world.plan()
        assert [state for _, state, _ in world.fates()] == [State.PLANNED] + [State.MERGED] * 3
        assert world.notes.counts["plan_rounds",] == 1, "the facts of three digests are requested at once"

    run(scenario(TimedWorld(people)))


def test_two_planners_never_let_more_through_than_a_cap(people):
    """Requests for one user may be in several partitions, planned by several processes at once."""

    async def scenario(world: TimedWorld) -> None:
        for _ in range(12):
            await world.accept(DAY, category="capped")
        await asyncio.gather(*(_plan_partition(world, world.planner(), partition) for partition in range(4)))
        assert len(world.to_send()) == 2

    run(scenario(TimedWorld(people, partitions=4)))


async def _plan_partition(world: World, planner: PlanWorker, partition: int) -> None:
    lease = await world.journal.acquire(topics.GROUP_PLAN, partition, f"planner-{partition}", 10_000)
    assert lease is not None
    while await planner.step(partition, lease):
        pass


def test_a_channels_decision_applies_to_every_held_address():
    no = Skip(Reason.OPTED_OUT, "user preference *.push")
    assert settle([Planned(Channel.PUSH, "", no)], Channel.PUSH, ["a", "b"]) == [
        Planned(Channel.PUSH, "a", no),
        Planned(Channel.PUSH, "b", no),
    ]
    now = [Planned(Channel.PUSH, "b", Send("b")), Planned(Channel.PUSH, "c", Send("c"))]
    removed = Skip(Reason.NO_CONTACT, "the address is not the user's any more")
    assert settle(now, Channel.PUSH, ["a", "b"]) == [*now, Planned(Channel.PUSH, "a", removed)]
    for said in (no, Send("")):
        inbox = [Planned(Channel.INAPP, "", said)]
        assert settle(inbox, Channel.INAPP, [""]) == inbox


def test_a_notification_that_cannot_be_planned_uses_no_cap(people, monkeypatch):
    """The batch is decided again one by one; what was counted the first time is given back."""

    async def scenario(world: TimedWorld) -> None:
        real = batch.decide

        def failing(request_facts, user, *rest):
            if user.user_id == "lost":
                raise LookupError("broken")
            return real(request_facts, user, *rest)

        monkeypatch.setattr(batch, "decide", failing)
        await world.accept(DAY, category="capped")
        await world.accept(Recipient("lost"), category="capped")
        await world.accept(DAY, category="capped")
        await world.plan()
        assert world.to_send() == ["accepted-day"] * 2, "as many as the cap allows"

    run(scenario(TimedWorld(people)))
