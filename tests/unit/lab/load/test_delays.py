import asyncio
from pathlib import Path
from types import FunctionType
from typing import Any

import msgspec
import pytest

from clarion.app.lab import DELAYS_VARIABLE
from clarion_lab.load.delays import Counts, Delayed, Delays, Waits, delay_ports


class News:
    async def wait(self, timeout_ms: int) -> bool:
        return timeout_ms > 0


class Store:
    """A store with awaitable methods and one that is not."""

    size = 3

    async def read(self, key: str) -> str:
        return f"value of {key}"

    async def append(self, batch: object) -> None:
        del batch

    async def renew(self) -> None: ...

    def watch(self) -> "News":
        return News()

    def revision(self) -> int:
        return 1

    def head(self) -> int:
        return 7


def delayed(folder: Path) -> tuple[Any, Waits]:
    waits = Waits(Delays(0.0, str(folder)), "worker-0")
    return Delayed(Store(), "store", waits), waits


def of_stage(function: Any, module: str) -> Any:
    """Return the same function as if it were defined in another module."""
    return FunctionType(function.__code__, {**function.__globals__, "__name__": module}, closure=function.__closure__)


def only(counts: Counts) -> tuple[int, int, int]:
    (kind,) = counts.kinds
    return kind.ended, kind.waits, kind.commits


def test_calls_of_a_task_are_sequential_and_gathered_ones_concurrent(tmp_path: Path) -> None:
    store, waits = delayed(tmp_path)

    async def chain() -> None:
        await store.read("a")
        await store.read("b")

    async def step() -> None:
        await store.read("first")
        await asyncio.gather(store.read("x"), store.read("y"), store.read("z"))
        await asyncio.gather(chain(), store.read("c"))
        await store.append(1)

    asyncio.run(step())
    assert only(waits.counts()) == (1, 1 + 1 + 2 + 1, 1)
    assert waits.counts().calls == {"other": {"store.read": 7, "store.append": 1}}


def test_subtasks_count_for_a_task_that_only_read_a_revision(tmp_path: Path) -> None:
    store, waits = delayed(tmp_path)

    async def request() -> None:
        store.revision()
        await asyncio.gather(store.read("x"), store.read("y"))

    asyncio.run(of_stage(request, "clarion.accept.intake")())
    (kind,) = waits.counts().kinds
    assert (kind.stage, kind.name.rpartition(".")[2], kind.waits) == ("accept", "request", 1)
    store.revision()
    assert waits.counts().sync_calls == {}


def test_reads_of_a_loop_before_its_first_commit_count_for_it(tmp_path: Path) -> None:
    store, waits = delayed(tmp_path)

    async def loop() -> None:
        watch = store.watch()
        await asyncio.gather(store.read("x"), store.read("nothing"))
        await watch.wait(5)
        await asyncio.gather(store.read("x"), store.read("y"))
        await store.append(1)

    asyncio.run(of_stage(loop, "clarion.plan.worker")())
    (kind,) = waits.counts().kinds
    assert (kind.stage, kind.waits, kind.idle, kind.commits) == ("plan", 2, 1, 1)


def test_reads_during_a_tasks_own_wait_are_concurrent(tmp_path: Path) -> None:
    store, waits = delayed(tmp_path)

    async def ahead(times: int) -> None:
        for _ in range(times):
            await store.read("next")

    async def step(times: int) -> None:
        await store.read("first")
        reading = asyncio.create_task(ahead(times))
        await store.append(1)
        await reading
        await asyncio.create_task(ahead(1))

    asyncio.run(step(1))
    assert only(waits.counts()) == (1, 1 + 1 + 1, 1)
    asyncio.run(step(3))
    assert only(waits.counts()) == (2, 3 + 1 + 3 + 1, 2)


def test_a_task_that_commits_counts_for_itself(tmp_path: Path) -> None:
    store, waits = delayed(tmp_path)

    async def flush() -> None:
        await store.append(1)

    async def request() -> None:
        await store.read("a")
        await asyncio.create_task(flush())

    asyncio.run(request())
    kinds = {kind.name.rpartition(".")[2]: (kind.waits, kind.commits) for kind in waits.counts().kinds}
    assert kinds == {"request": (1, 0), "flush": (1, 1)}


def test_synchronous_calls_are_counted_separately_and_upkeep_is_no_frames_wait(tmp_path: Path) -> None:
    store, waits = delayed(tmp_path)

    async def step() -> int:
        await store.renew()
        return int(store.head())

    assert asyncio.run(step()) == 7
    assert waits.counts().sync_calls == {"other": {"store.head": 1}}
    assert waits.counts().kinds == []


def test_empty_reads_are_idle_unless_they_lead_to_a_commit(tmp_path: Path) -> None:
    store, waits = delayed(tmp_path)

    async def loop() -> None:
        watch = store.watch()
        await store.read("a")
        await store.append(1)
        await store.read("nothing")
        await asyncio.create_task(watch.wait(5))
        await store.read("b")
        await store.append(2)

    asyncio.run(loop())
    (kind,) = waits.counts().kinds
    assert (kind.waits, kind.idle, kind.commits) == (4, 1, 2)


def test_a_helper_that_is_gathered_is_of_the_stage_of_its_parent(tmp_path: Path) -> None:
    store, waits = delayed(tmp_path)

    async def helper() -> None:
        await store.read("a")

    async def step() -> None:
        await store.read("first")
        await asyncio.gather(helper(), helper())

    asyncio.run(of_stage(step, "clarion.plan.worker")())
    assert waits.counts().calls == {"plan": {"store.read": 3}}


def test_the_stage_is_that_of_the_caller_however_deep_it_calls(tmp_path: Path) -> None:
    store, waits = delayed(tmp_path)

    async def patience() -> None:
        await store.append(1)

    outer = of_stage(patience, "clarion.runtime.append_retry")

    async def step() -> None:
        store.head()
        await outer()

    asyncio.run(of_stage(step, "clarion.plan.worker")())
    assert waits.counts().calls == {"plan": {"store.append": 1}}
    assert waits.counts().sync_calls == {"plan": {"store.head": 1}}


def test_a_call_takes_one_round_trip_longer(tmp_path: Path) -> None:
    waits = Waits(Delays(30.0, str(tmp_path)), "api")
    store = Delayed(Store(), "store", waits)

    async def step() -> float:
        began_s = asyncio.get_running_loop().time()
        assert await store.read("a") == "value of a"
        return asyncio.get_running_loop().time() - began_s

    assert asyncio.run(step()) >= 0.029


class Shared:
    def __init__(self) -> None:
        self.journal = Store()
        self.links = object()


def test_only_port_implementations_are_wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "__module__", "clarion.stores.sqlite.journal")
    shared = Shared()
    monkeypatch.setattr("clarion_lab.load.delays.Waits.write_always", lambda waits: None)
    delay_ports(shared, "api", {DELAYS_VARIABLE: msgspec.json.encode(Delays(1.0, str(tmp_path))).decode()})
    assert isinstance(shared.journal, Delayed)
    assert shared.journal.size == 3
    assert not isinstance(shared.links, Delayed)
