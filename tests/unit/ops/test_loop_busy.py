import asyncio
import time

import pytest

from clarion.ops import loop_busy
from clarion.ops.loop_busy import BEAT_S, LoopBeat
from clarion.ops.metrics import Metrics
from clarion.ops.telemetry import ProcessTelemetry


def burn(seconds: float) -> None:
    began_s = time.thread_time()
    while time.thread_time() - began_s < seconds:
        pass


def idle(seconds: float) -> None:
    time.sleep(seconds)


def page(metrics: Metrics) -> str:
    return metrics.exposition().decode()


def test_a_long_block_on_the_loop_is_counted_by_stage() -> None:
    telemetry = ProcessTelemetry(Metrics(role="worker-1"))

    async def step() -> None:
        with telemetry.cpu("plan"):
            burn(0.06)
        with telemetry.cpu("plan"):
            burn(0.001)

    asyncio.run(step())
    text = page(telemetry.metrics)
    assert 'clarion_loop_busy_seconds_count{by="plan",process="worker"} 1.0' in text
    assert 'clarion_loop_busy_seconds_bucket{by="plan",le="0.05",process="worker"} 0.0' in text


def test_a_block_on_another_thread_does_not_count_as_a_busy_loop() -> None:
    telemetry = ProcessTelemetry(Metrics(role="worker-1"))
    with telemetry.cpu("record"):
        burn(0.02)
    assert "clarion_loop_busy_seconds_count" not in page(telemetry.metrics)


def test_a_callback_that_no_stage_times_makes_its_turn_late() -> None:
    result: list[float] = []

    async def run() -> None:
        LoopBeat(result.append)
        await asyncio.sleep(0)
        burn(3 * BEAT_S)
        await asyncio.sleep(0)
        await asyncio.sleep(BEAT_S)

    asyncio.run(run())
    assert max(result) >= BEAT_S


def test_a_loop_that_is_late_without_using_cpu_is_not_busy() -> None:
    result: list[float] = []

    async def run() -> None:
        LoopBeat(result.append, clock=lambda: 0.0)
        await asyncio.sleep(0)
        idle(2 * BEAT_S)
        await asyncio.sleep(BEAT_S)

    asyncio.run(run())
    assert result == []


def test_an_idle_loop_is_sampled_rarely_and_a_busy_one_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_busy, "BEAT_S", 0.02)
    monkeypatch.setattr(loop_busy, "IDLE_BEAT_S", 0.1)
    looks: list[float] = []

    def clock() -> float:
        looks.append(time.monotonic())
        return time.thread_time()

    async def run() -> tuple[int, int]:
        LoopBeat(lambda _: None, clock)
        await asyncio.sleep(0.6)
        idle = len(looks)
        looks.clear()
        for _ in range(50):
            burn(0.01)
            await asyncio.sleep(0)
        return idle, len(looks)

    idle, busy = asyncio.run(run())
    assert idle <= 15
    assert busy >= 12
