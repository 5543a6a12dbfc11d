"""The number of sequential round trips of a planning step to remote stores: the same for one and for many."""

import asyncio
import inspect
from collections.abc import Awaitable
from typing import Any

import pytest

from clarion.content.gather import Contents
from clarion.domain.channel import Channel
from clarion.journal import topics
from clarion.journal.events import Recipient
from clarion.languages.liquid.engine import LiquidRenderer
from clarion.plan.broadcast.gather_pages import PageGatherer
from clarion.plan.broadcast.worker import BroadcastWorker
from clarion.ports.control_accounts import Suppression
from clarion.ports.directory import Directory
from clarion.ports.stage_store import AcceptState, Cancellation, Lease, StageResult
from clarion.runtime.consumer import LeasedPartitions
from tests.contract.controls import ControlPlane
from tests.look import Glance
from tests.registries import definitions_of
from tests.stages.virtual import run
from tests.stages.world import TENANT
from tests.unit.plan.deciding import HOUR_MS, TimedWorld, fill
from tests.unit.plan.test_broadcast import begin

TRIP_S = 0.001
MANY = 20
WARM_MAX = 4
TELLING = b"""{"steps":[{"kind":"send","name":"first","template":"texting","channels":["sms"]},
{"kind":"delay","name":"pause","for":"1m"},
{"kind":"throttle","name":"seldom","limit":100,"per":"1h","key":"data.number"},
{"kind":"send","name":"second","template":"texting","category":"capped","channels":["sms"]}]}"""


class Far:
    """Wraps a port that is one round trip away: each awaited call takes `TRIP_S` of the loop's time."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def called(*args: Any, **more: Any) -> Any:
            await asyncio.sleep(TRIP_S)
            return await found(*args, **more)

        return called


async def trips(work: Awaitable[Any]) -> int:
    """Return how many sequential round trips some work waits for."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await work
    return round((loop.time() - began_s) / TRIP_S)


class CallCounter:
    """Counts the lookups of cursors."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def cursors_in(self, partitions: Any, status: str | None = None) -> Any:
        self.looks += 1
        return await self._store.cursors_in(partitions, status)


class RemoteWorld(TimedWorld):
    """A world whose planner has all its stores a round trip away, and a lease of its one partition."""

    def __init__(self, directory: Directory, partitions: int = 1) -> None:
        super().__init__(Far(directory), partitions=partitions)  # type: ignore[arg-type]
        near, self.ledger = self.ledger, Far(self.ledger)  # type: ignore[assignment]
        self.near = near
        self.worker = self.planner(Far(self.journal))

    async def begin(self) -> Lease:
        lease = await self.journal.acquire(topics.GROUP_PLAN, 0, "planner", 300_000)
        assert lease is not None
        return lease

    async def fire(self) -> None:
        """Let time pass until the next timers are due, and fire these."""
        due_ms = Glance(self.journal).next_due_ms()
        assert due_ms is not None
        self.clock.wall_ahead_ms += max(due_ms - self.clock.now_ms(), 0) + 1_000
        assert await self.journal.fire(self.clock.now_ms(), 1_000)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Directory:
    installation = ControlPlane(tmp_path_factory.mktemp("there"), backend="memory")

    async def scenario() -> None:
        await fill(installation)
        await definitions_of(installation.control, installation.clock).put(TENANT, "workflow", "telling", TELLING)

    asyncio.run(scenario())
    return installation.directory


KINDS: dict[str, tuple[str, dict[str, Any], int]] = {
    "single": ("day", {"channels": ["sms"]}, 3),
    "capped": ("day", {"channels": ["sms"], "category": "capped"}, 3),
    "held": ("night", {"channels": ["sms"]}, 3),
    "routed": ("half", {"category": "slow", "channels": None}, 3),
    "workflow": ("day", {"workflow": "telling", "workflow_version": 1}, 3),
}
"""To whom, what, and the trips it takes when everything is warm."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_warm_step_reads_gathers_and_commits_however_many_it_plans(there: Directory, kind: str):
    to, request, most = KINDS[kind]

    async def scenario() -> None:
        world = RemoteWorld(there)
        lease = await world.begin()
        found = []
        for number in (1, 1, MANY):
            for one in range(number):
                await world.accept(Recipient(to), data={"number": one}, **request)
            found.append(await trips(world.worker.step(0, lease)))
        assert found[1:] == [most, most]
        assert found[0] <= most + 4, "cold facts are read concurrently, too"

    run(scenario())


@pytest.mark.parametrize(("kind", "most"), [("workflow", WARM_MAX), ("held", WARM_MAX), ("routed", 3)])
def test_resumed_work_takes_at_most_one_more_gathering(there: Directory, kind: str, most: int):
    """An instance names its user; cached verdicts that have expired have to be computed again."""
    to, request, _ = KINDS[kind]

    async def scenario() -> None:
        world = RemoteWorld(there)
        lease = await world.begin()
        found = []
        for day, number in enumerate((1, MANY)):
            world.clock.wall_ahead_ms = day * 24 * HOUR_MS  # at night the hour matters
            for one in range(number):
                await world.accept(Recipient(to), data={"number": one}, **request)
            while await world.worker.step(0, lease):
                pass
            await world.fire()
            found.append(await trips(world.worker.step(0, lease)))
        assert found[1] <= most, found

    run(scenario())


def test_one_read_serves_all_partitions_and_empty_ones_cost_nothing(there: Directory):
    async def scenario() -> None:
        world = RemoteWorld(there, partitions=8)
        leases = await world.held(topics.GROUP_PLAN)
        worker = world.planner(Far(world.journal), leases)
        assert await trips(worker._plan_all()) == 2, "positions, then frames"
        assert await trips(worker._plan_all()) == 1
        for _ in range(8):
            await world.accept(Recipient("day"))
        await worker._plan_all()
        await world.accept(Recipient("day"))
        assert await trips(worker._plan_all()) == 3
        for _ in range(8):
            await world.accept(Recipient("day"))
        assert await trips(worker._plan_all()) == 1 + 8 * 2

    run(scenario())


def test_cancellations_are_read_concurrently_with_frames(there: Directory):
    async def scenario() -> None:
        world = RemoteWorld(there)
        lease = await world.begin()
        id_ = await world.accept(Recipient("day"), workflow="telling", workflow_version=1, data={"number": 1})
        await world.worker.step(0, lease)
        cancellation = Cancellation(TENANT, id_, world.clock.now_ms())
        await world.journal.commit(StageResult(accept_state=AcceptState(cancellations=[cancellation])))
        assert await trips(world.worker.step(0, lease)) == 3
        assert await trips(world.worker.step(0, lease)) == 1, "the cancellation was processed"

    run(scenario())


def test_suppressions_take_a_separate_round(tmp_path):
    async def scenario() -> None:
        installation = ControlPlane(tmp_path, backend="memory")
        await fill(installation)
        suppression = Suppression(Channel.SMS, "accepted-night", "bounced", 0)
        await installation.control.suppressions.add(TENANT, [suppression])
        world = RemoteWorld(installation.directory)
        lease = await world.begin()
        found = []
        for number in (1, 1, MANY):
            for _ in range(number):
                await world.accept(Recipient("day"), category="capped")
            found.append(await trips(world.worker.step(0, lease)))
        assert found[1:] == [WARM_MAX, WARM_MAX]

    run(scenario())


def broadcasts(world: TimedWorld, store: Any, leases: LeasedPartitions) -> BroadcastWorker:
    contents = Contents(world.directory, {"liquid": LiquidRenderer()})
    pages = PageGatherer(store, world.directory, contents, 7)
    return BroadcastWorker(world.journal, store, pages, leases, world.clock, world.notes, backlog_max=10**9)


@pytest.mark.parametrize("after_ms", [0, 30_300])
def test_an_idle_loop_polls_rarely_and_starts_at_once(there: Directory, after_ms: int):
    async def scenario() -> None:
        world = TimedWorld(there)
        store, stop = CallCounter(world.journal), asyncio.Event()
        leases = await world.held(topics.GROUP_BROADCAST)
        working = asyncio.gather(leases.run(stop), broadcasts(world, store, leases).run(stop))
        await asyncio.sleep(20.25)
        assert store.looks <= 20 * 2 + 1
        begins_ms = world.clock.now_ms() + after_ms if after_ms else None
        id_ = await begin(world, send_at_ms=begins_ms)
        while world.clock.now_ms() < (begins_ms or 0):
            assert Glance(world.journal).cursor(id_).users == 0
            await world.journal.commit(StageResult())
            await asyncio.sleep(0.01)
        assert store.looks <= (20.25 + after_ms / 1000) * 10 + 2, (
            "commits of other processes make it look ten times a second at most"
        )
        await asyncio.sleep(0.1 if after_ms else 0.01)
        assert Glance(world.journal).cursor(id_).status == "done"
        stop.set()
        await working

    run(scenario())


def test_a_page_of_a_broadcast_is_read_in_two_rounds(there: Directory):
    async def scenario() -> None:
        world = RemoteWorld(there)
        await begin(world, channels=["sms", "inapp"], category="capped")
        worker = broadcasts(world, Far(world.journal), await world.held(topics.GROUP_BROADCAST))
        found = []
        while number := await trips(worker.turn()):
            found.append(number)
            if not any(cursor.status == "running" for cursor in Glance(world.journal).cursors()):
                break
        assert len(found) > 2
        assert max(found[1:]) <= WARM_MAX, found

    run(scenario())
