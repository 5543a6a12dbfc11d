"""How many round trips to its stores a frame takes, one after the other: from the stream to its senders, and into the record.

Every call of a port is 10 ms away, by a clock that is made up, and counted as the `rtt` bench counts it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from clarion.deliver.accounts.budgets import Budgets
from clarion.deliver.accounts.worker import Accounts
from clarion.deliver.accounts.worker_breakers import Breakers
from clarion.deliver.accounts.worker_pace import Pace
from clarion.deliver.partition.gather_cancelled import CancellationCache
from clarion.domain.channel import CHANNELS, Channel, Lane
from clarion.domain.planned import PlannedDelivery
from clarion.domain.resilience import Limits
from clarion.domain.trail import Trail
from clarion.journal import topics
from clarion.journal.events import DeliverFrame
from clarion.journal.rows import deliver_rows, encode_delivery
from clarion.ports.stage_store import StageResult
from clarion.ports.streams import Frame
from clarion.stores.memory.account_health import MemoryAccountHealth
from clarion.stores.memory.quotas import MemoryQuotas
from clarion_lab.load.delays import Delayed, Delays, Waits
from tests.stages.virtual import run
from tests.stages.world import GROUP, RunningPool, World, address
from tests.unit.deliver.test_failover import EditableDirectory, account

RTT_MS = 10
TOPIC = topics.deliver(Channel.SMS, Lane.NORMAL)
PAUSE_S = 1.0
PLAIN_MAX, FULL_MAX = 3, 5
"""Trips of a frame of which nothing has to be looked up; and of one with retries, routes and an account that has limits."""


class RemotePool:
    """A pool whose stores are all a round trip away, and the waits of its partition."""

    def __init__(self, directory: Any, folder: Path, **rules: Any) -> None:
        self.waits = Waits(Delays(RTT_MS, str(folder)), "worker-0")
        self.shop = EditableDirectory(directory, account("only", {"latency_ms": 0}, **rules))
        self.world = World(Delayed(self.shop, "directory", self.waits))  # type: ignore[arg-type]

    async def start(self) -> RunningPool:
        world = self.world
        store: Any = Delayed(world.journal, "store", self.waits)
        vendors = {(each, "sandbox"): world.vendor for each in CHANNELS}
        account_health: Any = Delayed(MemoryAccountHealth(), "standings", self.waits)
        quotas: Any = Delayed(MemoryQuotas(), "quotas", self.waits)
        used = Accounts(
            world.directory,
            vendors,  # type: ignore[arg-type]
            Breakers(account_health, world.clock, world.notes),
            Pace(quotas, world.clock, world.notes, "worker-0"),
            Budgets(),
            world.clock,
        )
        context = world.tools(journal=store, accounts=used, cancelled=CancellationCache(store, world.clock))
        states: Any = Delayed(world.ledger, "state", self.waits)
        return world.start(replace(context, states=states), await world.held(GROUP))

    async def planned(self, *numbers: int) -> None:
        """Let deliveries be planned, and wait until they are recorded."""
        for number in numbers:
            await self.world.accept(address("accepted", number))
        await self.world.plan()
        await asyncio.sleep(PAUSE_S)

    async def again(self, change: Callable[[PlannedDelivery], PlannedDelivery]) -> None:
        """Repeat a delivery that was planned before, changed, and wait until it is recorded."""
        row = next(deliver_rows(next(one for one in self.world.events(TOPIC) if isinstance(one, DeliverFrame))))
        payload = encode_delivery(change(row))
        await self.world.journal.commit(StageResult(frames=[Frame(TOPIC, 0, 1, payload)]))
        await asyncio.sleep(PAUSE_S)

    def counted(self) -> Counter[str]:
        """Return the waits of the tasks of a partition, separately those that found nothing, and their commits."""
        found: Counter[str] = Counter()
        for kind in self.waits.counts().kinds:
            if kind.name.startswith("PartitionConsumer"):
                found["waits"] += kind.waits
                found["commits"] += kind.commits
        return found


async def trips_of(remote: RemotePool, frame: Callable[[RemotePool], Any]) -> Counter[str]:
    pool = await remote.start()
    await remote.planned(1)
    await frame(remote)
    before, calls = remote.counted(), len(remote.world.vendor.calls)
    await frame(remote)
    assert len(remote.world.vendor.calls) == calls + 1
    after = remote.counted()
    await pool.drain()
    return after - before


def trips(
    directory: Any, folder: Path, frame: Callable[[RemotePool], Any], **rules: Any
) -> tuple[Counter[str], RemotePool]:
    """Return the round trips of one frame after another frame like it."""
    remote = RemotePool(directory, folder, **rules)
    return run(trips_of(remote, frame)), remote


def test_a_plain_frame_is_read_intended_and_recorded_and_nothing_else(directory, tmp_path):
    spent, _ = trips(directory, tmp_path, lambda remote: remote.planned(2))
    assert spent["commits"] == 2
    assert spent["waits"] <= PLAIN_MAX


def test_reads_of_a_frame_with_retries_and_routes_are_concurrent(directory, tmp_path):
    numbers = iter(range(100, 200))

    def changed(row: PlannedDelivery) -> PlannedDelivery:
        id_ = next(numbers).to_bytes(16, "big") + row.delivery_id[16:]
        return row._replace(
            delivery_id=id_, attempt=2, trail=Trail(failures=1), category="marketing", fallback=b"elsewhere"
        )

    limits = Limits(per_second=100, per_day=10_000)
    spent, remote = trips(directory, tmp_path, lambda remote: remote.again(changed), limits=limits)
    assert spent["waits"] <= FULL_MAX
    calls = remote.waits.counts().calls["deliver"]
    assert calls["state.states"] == calls["directory.suppressed"] == 2
    assert calls["directory.categories"] == calls["directory.accounts"] == 1, "definitions are cached until they change"


def test_frames_that_follow_each_other_are_read_while_intents_are_stored(directory, tmp_path):
    """A backlog costs two trips a frame: the next frame is read by then."""

    async def scenario() -> Counter[str]:
        for number in range(40):
            await remote.world.accept(address("accepted", number), lane=Lane.NORMAL)
            await remote.world.plan()
        pool = await remote.start()
        await asyncio.sleep(3)
        spent = remote.counted()
        await pool.drain()
        return spent

    remote = RemotePool(directory, tmp_path)
    spent = run(scenario())
    assert len(remote.world.vendor.calls) == 40
    assert spent["waits"] <= spent["commits"] + 10


def test_accounts_are_read_again_when_refreshing_fails(directory, tmp_path):
    """Where refreshing fails, an account that was disabled must not be used forever."""
    remote = RemotePool(directory, tmp_path)
    remote.shop.current = False
    run(trips_of(remote, lambda remote: remote.planned(2)))
    assert remote.waits.counts().calls["deliver"]["directory.accounts"] == 3
