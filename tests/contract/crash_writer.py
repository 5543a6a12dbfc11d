"""Child of the crash test: appends in an endless loop and prints each acknowledgement after it arrived.

Usage: crash_writer.py BACKEND DATA_DIR NAME. Each line is `partition offset payload-hash`; the parent kills this process at any
moment and checks that the journal has every whole line it read.
"""

import asyncio
import os
import sys
import time
from hashlib import sha256
from pathlib import Path

from clarion.ports.journal_cells import CapWrite, Cell, Wait, WaitEnd
from clarion.ports.stage_store import PlanState, StageResult
from clarion.ports.streams import Frame

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.contract.journals import BACKENDS, Journal
from tests.look import Look

PARTITIONS = 2
TASKS = 4


class MachineClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000

    def entropy(self, size: int) -> bytes:
        return os.urandom(size)

    def jitter(self) -> float:
        return 0.5


def payload(name: str, task: int, number: int) -> bytes:
    """Return bytes that differ per append and sometimes span several pages."""
    return f"{name}/{task}/{number}/".encode() * (1 + number % 7 * 300)


async def step(journal: Journal, blobs: list[bytes], task: int) -> StageResult:
    """Return an append that increments a cell and a cap of the task's own, with a frame per partition."""
    key = b"%d" % task
    before = int((await Look(journal).cells(0, [key])).get(key, b"0"))
    return StageResult(
        frames=[Frame("t", p, 1, blob) for p, blob in enumerate(blobs)],
        plan_state=PlanState(
            cells=[Cell(0, key, b"%d" % (before + 1))],
            caps=[CapWrite("acme", b"rule", task, ((task, before, before + 1),))],
            waits=[Wait("acme", key, b"%d" % before, "t", 0, 2**62)],
            ended_waits=[WaitEnd("acme", key, b"%d" % (before - 1))],
        ),
    )


async def main(backend: str, data_dir: Path, name: str) -> None:
    journal = BACKENDS[backend](data_dir, MachineClock(), PARTITIONS)

    async def append(task: int) -> None:
        for number in range(1_000_000):
            blobs = [payload(name, task, number + 1_000_000 * p) for p in range(PARTITIONS)]
            offsets = (await journal.commit(await step(journal, blobs, task))).offsets
            lines = [f"{p} {offsets[p]} {sha256(blobs[p]).hexdigest()}\n" for p in range(PARTITIONS)]
            os.write(sys.stdout.fileno(), "".join(lines).encode())

    await asyncio.gather(*(append(task) for task in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
