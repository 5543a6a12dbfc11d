"""Deliveries that wait for an account, and workers that die meanwhile: none is lost, or sent twice without a record."""

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest

from clarion.deliver.accounts.assignment import Deferral
from clarion.deliver.accounts.budgets import Budgets
from clarion.deliver.accounts.worker import Accounts
from clarion.deliver.accounts.worker_breakers import Breakers
from clarion.deliver.accounts.worker_pace import Pace
from clarion.deliver.partition.results import Result, timers_of
from clarion.deliver.rules.answer import Answer
from clarion.deliver.rules.retry import Next, RetryPolicy
from clarion.domain import ids
from clarion.domain.account_health import AccountHealth
from clarion.domain.channel import CHANNELS, Channel, Lane
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event, State
from clarion.domain.limits_delivery import RETRY_BUDGET_MIN
from clarion.domain.outcome import Accepted, Throttled
from clarion.domain.planned import PlannedDelivery
from clarion.domain.resilience import Limits
from clarion.domain.trail import Trail
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import AttemptedFrame, ChunkFrame, IntentFrame
from clarion.ports.account_health import AccountName
from clarion.ports.stage_store import AcceptState, Cancellation, StageResult
from clarion.ports.streams import Frame
from clarion.stores.memory.account_health import MemoryAccountHealth
from clarion.stores.memory.quotas import MemoryQuotas
from clarion.wait.worker import TimerWorker
from tests.contract.swaps import take
from tests.look import Glance
from tests.stages.holder import Holder
from tests.stages.virtual import kill, run, until
from tests.stages.world import TENANT, World, address
from tests.unit.deliver.test_failover import FINE, EditableDirectory, account, always, recorded_attempts, settled

A, B = address("a", 1), address("a", 2)
PATIENT = RetryPolicy((1_000, 2_000, 4_000, 8_000), 24 * 3_600_000)


class Fleet:
    """Workers that start and stop over one journal and shared stores of account health and counts, each with its breakers."""

    def __init__(self, directory: Any, *accounts: Any, partitions: int = 1, seed: int = 0) -> None:
        self.shop = EditableDirectory(directory, *accounts)
        self.world = World(self.shop, partitions=partitions, seed=seed)  # type: ignore[arg-type]
        self.account_health, self.quotas = MemoryAccountHealth(), MemoryQuotas()
        self._stop = asyncio.Event()

    def accounts(self, budgets: Budgets | None = None) -> Accounts:
        world = self.world
        breakers = Breakers(self.account_health, world.clock, world.notes)
        vendors = {(each, "sandbox"): world.vendor for each in CHANNELS}
        pace = Pace(self.quotas, world.clock, world.notes, "worker-0")
        return Accounts(self.shop, vendors, breakers, pace, budgets or Budgets(), world.clock)  # type: ignore[arg-type]

    async def holder(self, passes: Any = lambda row: True, **other: Any) -> Holder:
        values = {"accounts": self.accounts(), "policy": PATIENT, **other}
        return await Holder(self.world, passes, **values).start()

    async def down(self, name: str, for_ms: int = 3_600_000) -> None:
        """Mark an account as down for all workers."""
        now_ms = self.world.clock.monotonic_ms()
        health = AccountHealth("open", 1, changed_ms=now_ms, until_ms=now_ms + for_ms, detail="it is down")
        await take(self.account_health, AccountName(TENANT, name), health)

    async def mended(self, name: str) -> None:
        await take(self.account_health, AccountName(TENANT, name), AccountHealth(version=1))

    async def left(self, name: str) -> None:
        """Leave an account unchanged."""

    async def fire(self) -> int:
        """Fire every timer, now or not."""
        return await self.world.journal.fire(1 << 60, 1_000)

    async def cancel(self, id_: bytes) -> None:
        await self.world.journal.commit(
            StageResult(accept_state=AcceptState(cancellations=[Cancellation(TENANT, id_, self.world.clock.now_ms())]))
        )

    def turns(self) -> Counter[tuple[str, int, str]]:
        found: Counter[tuple[str, int, str]] = Counter()
        for frame in self.world.events():
            if isinstance(frame, AttemptedFrame):
                found.update(zip(frame.addresses, frame.attempts, frame.events, strict=True))
        return found

    def intents(self) -> int:
        return sum(len(frame.attempts) for frame in self.world.events() if isinstance(frame, IntentFrame))


class Refusing:
    """A journal whose next append with a timer is cut off: before it is stored, or after."""

    def __init__(self, journal: Any, *, stored: bool) -> None:
        self._journal = journal
        self._stored = stored
        self.cut = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    async def commit(self, batch: StageResult) -> Any:
        if not batch.timers:
            return await self._journal.commit(batch)
        if self._stored:
            await self._journal.commit(batch)
        self.cut.set()
        return await asyncio.Event().wait()


@pytest.mark.parametrize("stored", [False, True])
def test_a_worker_that_dies_around_the_append_of_a_parked_attempt_loses_nothing(directory, stored):
    fleet = Fleet(directory, account("only", FINE))

    async def scenario() -> None:
        world = fleet.world
        await world.accept(A)
        await world.plan()
        await fleet.down("only")
        journal = Refusing(world.journal, stored=stored)
        first = await fleet.holder(journal=journal)
        await journal.cut.wait()
        await first.crash()
        second = await fleet.holder()
        await second.settled()
        assert fleet.turns() == {(A, 1, "parked"): 1}
        assert (await fleet.fire(), fleet.intents()) == (1, 0)
        await fleet.mended("only")
        await second.settled()
        await second.crash()

    run(scenario())
    assert fleet.turns() == {(A, 1, "parked"): 1, (A, 2, "accepted"): 1}
    assert fleet.world.vendor.calls == [(A, 1)]
    assert fleet.world.states() == {A: State.SENT}


@pytest.mark.parametrize("stored", [False, True])
def test_a_worker_that_dies_around_the_append_of_a_failover_sends_once(directory, stored):
    """Not stored, the attempt is lost: it is recorded, and repeated by the account that may have sent it."""
    fleet = Fleet(directory, account("first", {"by_attempt": ["transient", "accepted"]}), account("second", FINE, 2))

    async def scenario() -> None:
        world = fleet.world
        await world.accept(A)
        await world.plan()
        journal = Refusing(world.journal, stored=stored)
        first = await fleet.holder(journal=journal)
        await journal.cut.wait()
        await first.crash()
        second = await fleet.holder()
        await second.settled()
        assert await fleet.fire() == 1
        await second.settled()
        await second.crash()

    run(scenario())
    lost = {} if stored else {(A, 1, "ambiguous"): 1}
    turn = 1 if stored else 2
    assert fleet.turns() == {**lost, (A, turn, "retry"): 1, (A, turn + 1, "accepted"): 1}
    assert {provider for _, provider, *_ in recorded_attempts(fleet.world)} == {
        "first",
        *(["second"] if stored else []),
    }
    assert len(fleet.world.vendor.accepted) == 1
    assert fleet.world.states() == {A: State.SENT}


def test_a_worker_that_dies_while_a_timer_of_a_parked_delivery_fires(directory):
    """The timer's frame is on the journal, read and intended; the successor knows of the intent and the parked attempt."""
    fleet = Fleet(directory, account("only", FINE))

    async def scenario() -> None:
        world = fleet.world
        await world.accept(A, B)
        await world.plan()
        await fleet.down("only")
        await (first := await fleet.holder()).settled()
        await first.crash()
        await fleet.mended("only")
        second = await fleet.holder(lambda row: row.address == A)
        assert await fleet.fire() == 2
        await second.settled()
        await second.crash()
        third = await fleet.holder()
        await third.settled()
        assert third.submitted == [B]
        await third.crash()

    run(scenario())
    parked = {(A, 1, "parked"): 1, (B, 1, "parked"): 1}
    assert fleet.turns() == {**parked, (A, 2, "accepted"): 1, (B, 2, "ambiguous"): 1, (B, 3, "accepted"): 1}
    assert fleet.world.states() == {A: State.SENT, B: State.SENT}


def test_a_delivery_whose_account_went_down_fails_over_at_once(directory):
    """Its intent is stored, its attempt ends without a call; a successor does not record it as lost."""
    fleet = Fleet(directory, account("first", FINE), account("second", FINE, 2))

    async def scenario() -> None:
        world = fleet.world
        await world.accept(A)
        await world.plan()
        holder = await fleet.holder(lambda row: False)
        await holder.settled()
        await fleet.down("first")
        await holder.consumer._context.accounts.breakers.refresh()
        await asyncio.sleep(1)
        await holder.consumer._context.accounts.breakers.refresh()
        (item,) = holder.works
        await holder.consumer.send(item)
        await holder.settled()
        assert Glance(world.journal).next_due_ms() <= world.clock.now_ms()
        await holder.crash()
        second = await fleet.holder()
        await fleet.fire()
        await second.settled()
        await second.crash()

    run(scenario())
    assert [turn[1:] for turn in recorded_attempts(fleet.world)] == [
        ("first", Event.PARKED, Reason.PROVIDER_DOWN), ("second", Event.ACCEPTED, 0),
    ]  # fmt: skip


def test_a_delivery_cancelled_while_it_waits_ends_at_its_next_turn(directory):
    fleet = Fleet(directory, account("only", FINE))

    async def scenario() -> None:
        world = fleet.world
        gone, _ = await world.accept(A), await world.accept(B)
        await world.plan()
        await fleet.down("only")
        holder = await fleet.holder()
        await holder.settled()
        await fleet.cancel(gone)
        await fleet.fire()
        await holder.settled()
        await holder.crash()

    run(scenario())
    assert fleet.world.states() == {A: State.CANCELLED, B: State.RETRYING}
    assert fleet.world.vendor.calls == []


def test_calls_are_free_again_when_a_lease_is_lost_before_they_are_made(directory):
    """Otherwise each lost lease would cost the account some of its `concurrent` for good."""
    fleet = Fleet(directory, account("only", FINE, limits=Limits(concurrent=4)))

    async def scenario() -> None:
        world = fleet.world
        accounts = fleet.accounts()
        for key in (None, "one", "one", None):
            await world.accept(A, ordering_key=key)
        await world.plan()
        zombie = await fleet.holder(lambda row: False, accounts=accounts)
        await zombie.settled()
        await kill(zombie.task)
        for item in zombie.works:
            await zombie.consumer.send(item)
        successor = await fleet.holder(accounts=accounts)
        await successor.settled()
        await successor.crash()

    run(scenario())
    fleet.world.states()
    assert [row.state for row in fleet.world.ledger.rows.values()] == [State.SENT] * 4


def test_a_probe_is_free_again_when_its_delivery_is_cancelled_before_the_call(directory):
    fleet = Fleet(directory, account("only", FINE))

    async def scenario() -> None:
        world = fleet.world
        gone = await world.accept(A)
        await world.plan()
        await fleet.down("only", for_ms=0)
        holder = await fleet.holder(lambda row: row.address == B)
        await holder.settled()
        assert holder.submitted == [A]
        await fleet.cancel(gone)
        await holder.consumer.send(holder.works[0])
        await world.accept(B)
        await world.plan()
        await holder.settled()
        await holder.crash()

    run(scenario())
    assert fleet.world.states() == {A: State.CANCELLED, B: State.SENT}


def test_a_pass_ends_also_with_more_accounts_than_it_tries(directory):
    fleet = Fleet(directory, *(account(f"a{n:02}", always("transient"), priority=n) for n in range(40)))

    async def scenario() -> None:
        world = fleet.world
        await world.accept(A)
        await world.plan()
        stop = asyncio.Event()
        timers = TimerWorker(world.journal, world.journal, world.clock, world.notes, retention_ms=10**9)
        firing = asyncio.create_task(timers.run(stop))
        holder = await fleet.holder(policy=RetryPolicy((1_000_000,), 10**8))
        await asyncio.sleep(60)
        await holder.crash()
        await kill(firing)

    run(scenario())
    assert len(fleet.world.vendor.calls) <= 2 * 32


@pytest.mark.parametrize(
    ("word", "end"), [("stop", State.DEAD), ("retry", State.RETRYING), ("assume_sent", State.SENT)]
)
def test_a_lost_attempt_is_judged_and_repeated_by_the_account_that_made_it(directory, word, end):
    """Not by the preferred account: it was down then, and works by now."""
    fleet = Fleet(directory, account("first", FINE), account("second", FINE, 2, on_ambiguous=word))

    async def scenario() -> None:
        world = fleet.world
        await world.accept(A)
        await world.plan()
        await fleet.down("first")
        await (first := await fleet.holder(lambda row: False)).settled()
        assert [item.account.name for item in first.works] == ["second"]
        await first.crash()
        await fleet.mended("first")
        await fleet.down("second")
        await (second := await fleet.holder()).settled()
        await second.crash()

    run(scenario())
    assert fleet.world.states() == {A: end}
    assert {provider for _, provider, *_ in recorded_attempts(fleet.world)} == {"second"}
    assert fleet.world.vendor.calls == []


async def test_an_account_that_is_down_costs_no_budget_and_blocks_no_other(directory):
    first = account("first", FINE)
    fleet = Fleet(directory, first, account("second", FINE, 2))
    row = PlannedDelivery(bytes(32), TENANT, "", A, "en", "hello", "", {}, None, 2, None, None, None, None,
                     trail=Trail(since_ms=1, failures=1))  # fmt: skip
    await fleet.down("first")
    budgets = Budgets()
    accounts = fleet.accounts(budgets=budgets)
    for _ in range(RETRY_BUDGET_MIN):
        assert budgets.take_retry(first, fleet.world.clock.monotonic_ms())
    known = await accounts.gather(Channel.SMS, [TENANT])
    (given,) = await accounts.assign(known, Channel.SMS, [(row, Lane.NORMAL)])
    assert given is not None
    assert getattr(given, "name", given) == "second"


async def test_an_account_named_like_the_inbox_does_not_hold_it(directory):
    texts = account("inapp", FINE)
    fleet = Fleet(directory, texts)
    await fleet.down("inapp")
    accounts = fleet.accounts()
    row = PlannedDelivery(bytes(32), TENANT, "u1", "u1", "en", "hello", "", {}, None, 1, None, None, None, None)
    known = await accounts.gather(Channel.INAPP, [TENANT])
    (inbox,) = known.accounts(TENANT, Channel.INAPP)
    assert await accounts.assign(known, Channel.INAPP, [(row, Lane.NORMAL)]) == [inbox]
    assert accounts.outage_of(inbox) is None
    accounts.report_outcome(inbox, Accepted(""), 0)
    known = await accounts.gather(Channel.SMS, [TENANT])
    (texting,) = await accounts.assign(known, Channel.SMS, [(row, Lane.NORMAL)])
    assert isinstance(texting, Deferral)


def test_broadcasts_wait_for_an_outage_to_end_and_are_sent_once(directory):
    """Chunks: each delivery that waits gets a row, and none is sent or counted twice."""
    fleet = Fleet(directory, account("only", FINE))
    count = 300

    async def scenario() -> None:
        world = fleet.world
        users = [f"u{number}" for number in range(count)]
        to = [address("a", number) for number in range(count)]
        broadcast = ids.notification_id(world.clock.now_ms(), 0, bytes(ids.ENTROPY_BYTES))
        chunk = ChunkFrame(
            chunk_id=broadcast + bytes(8), tenant=TENANT, channel=Channel.SMS, locale="en", content="hello", category="",
            data={}, planned_ms=0, expires_ms=None, metadata=None, ordinals=list(range(count)), user_ids=users,
            states=bytes([State.PLANNED]) * count, reasons=bytes(count), addresses=to, users=[],
        )  # fmt: skip
        topic = topics.deliver(Channel.SMS, Lane.BULK)
        await world.journal.commit(StageResult(frames=[Frame(topic, 0, count, encode(chunk, count))]))
        await fleet.down("only")
        first = await fleet.holder()
        await first.settled()
        await first.crash()
        assert world.vendor.calls == []
        second = await fleet.holder()
        await second.settled()
        await fleet.mended("only")
        assert await fleet.fire() == count
        await second.settled()
        await second.crash()

    run(scenario())
    assert Counter(event for _, _, event in fleet.turns().elements()) == {"parked": count, "accepted": count}
    assert Counter(to for to, _ in fleet.world.vendor.calls) == {address("a", n): 1 for n in range(count)}


def test_turns_of_a_delivery_may_be_many():
    row = PlannedDelivery(bytes(32), TENANT, "", A, "en", "hello", "", {}, None, (1 << 16) - 1, None, None, None, None)
    results = [Result(row._replace(attempt=row.attempt + n), Answer(Throttled(), "", ""),
                      Next(Event.PARKED, Reason.PACED, 5, Trail()), 0, 0) for n in range(3)]  # fmt: skip
    assert len({timer.timer_id for timer in timers_of(Channel.SMS, {}, 0, results)}) == 3


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 30))])
def test_workers_dying_at_random_in_an_outage(directory, seed):
    """Three partitions, lanes, two accounts that fail and recover, cancellations; workers die anywhere. Every delivery
    ends once; each message sent is a recorded acceptance, or a call whose loss was recorded."""
    random = Random(seed)
    first, second = account("first", {"latency_ms": 40}), account("second", {"latency_ms": 40}, 2)
    fleet = Fleet(directory, first, second, partitions=3, seed=seed)
    count = 12 if seed else 4

    async def scenario() -> None:
        world = fleet.world
        stop = asyncio.Event()
        timers = asyncio.create_task(
            TimerWorker(world.journal, world.journal, world.clock, world.notes, retention_ms=10**9).run(stop)
        )
        waiting = [address("a", number) for number in range(count)]
        while waiting or not settled(world, count):
            for _ in range(min(len(waiting), random.randrange(5))):
                id_ = await world.accept(waiting.pop(), lane=random.choice([Lane.HIGH, Lane.NORMAL, Lane.BULK]))
                if random.random() < 0.1:
                    await fleet.cancel(id_)
            await world.plan()
            fits = [FINE if random.random() < 0.5 else always("transient") for _ in range(2)]
            fleet.shop.sms = [
                account(name, {"latency_ms": 40} | fit, priority) for priority, (name, fit) in
                enumerate(zip(("first", "second"), fits, strict=True))
            ]  # fmt: skip
            for name in ("first", "second"):
                await random.choice([fleet.down, fleet.mended, fleet.left])(name)
            pool = await world.pool(accounts=fleet.accounts(), policy=PATIENT)
            await asyncio.sleep(random.choice([0.01, 0.06, 0.1, 3, 30]))
            await (pool.crash if random.random() < 0.7 else pool.drain)()
        stop.set()
        await timers

    run(scenario())
    world = fleet.world
    turns = fleet.turns()
    ends = Counter(
        to for (to, _, event), times in turns.items() for _ in range(times) if event in ("accepted", "cancelled")
    )
    assert ends == {address("a", number): 1 for number in range(count)}, "each ends once"
    assert max(turns.values()) == 1, "no attempt is recorded twice"
    calls = Counter(to for to, _ in world.vendor.calls)
    told_of = Counter(to for (to, _, event) in turns if event in ("accepted", "retry", "ambiguous"))
    assert all(number <= told_of[to] for to, number in calls.items()), "each call is recorded"


@pytest.mark.parametrize(("back_s", "end"), [(50, State.SENT), (70, State.EXPIRED)])
def test_a_code_is_tried_to_the_end_of_its_life_and_not_beyond(directory, back_s, end):
    fleet = Fleet(directory, account("only", FINE))

    async def scenario() -> None:
        world = fleet.world
        stop = asyncio.Event()
        timers = TimerWorker(world.journal, world.journal, world.clock, world.notes, retention_ms=10**9)
        firing = asyncio.create_task(timers.run(stop))
        for number in range(20):
            await world.accept(address("a", number), lane=Lane.HIGH, expires_ms=world.clock.now_ms() + 60_000)
        await world.plan()
        await fleet.down("only")
        holder = await fleet.holder()
        await asyncio.sleep(back_s)
        await fleet.mended("only")
        await asyncio.sleep(61 - min(back_s, 60))
        await holder.crash()
        await kill(firing)

    run(scenario())
    ends = Counter(fleet.world.states().values())
    assert ends[end] >= 12, ends
    assert set(ends) <= {State.SENT, State.EXPIRED}


@pytest.mark.parametrize("jump_ms", [-120_000, 3_600_000])
def test_a_wall_clock_that_jumps_loses_nothing(directory, jump_ms):
    """Back: a waiting delivery is sent later. Forward: it is sent at once. Neither ends it, nor sends it twice."""
    fleet = Fleet(directory, account("only", FINE))

    async def scenario() -> None:
        world = fleet.world
        stop = asyncio.Event()
        timers = TimerWorker(world.journal, world.journal, world.clock, world.notes, retention_ms=10**9)
        firing = asyncio.create_task(timers.run(stop))
        await world.accept(A, B)
        await world.plan()
        await fleet.down("only", for_ms=30_000)
        pool = await world.pool(accounts=fleet.accounts(), policy=PATIENT)
        await asyncio.sleep(5)
        world.clock.wall_ahead_ms = jump_ms
        await asyncio.sleep(5)
        await fleet.mended("only")
        await until(lambda: settled(world, 2), limit_s=300, every_s=10)
        await pool.crash()
        await kill(firing)

    run(scenario())
    assert fleet.world.states() == {A: State.SENT, B: State.SENT}
    assert Counter(fleet.world.vendor.calls) == {(A, 1): 1, (B, 1): 1}
