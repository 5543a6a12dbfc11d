"""Acknowledged appends survive their process, closed or killed at a random moment: complete, at their offsets, and without
gaps."""

import os
import random
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from struct import unpack_from

import pytest

from clarion.domain.limits_processes import CAP_BLOCK_USERS
from clarion.ports.stage_store import Commit, GroupProgress, StageResult
from tests.contract.backends import ENGINES, SURVIVES
from tests.contract.crash_writer import PARTITIONS, TASKS
from tests.contract.journals import frame, held, offsets, timer
from tests.engines.postgres import database_of, until_alone
from tests.look import Look

PORT = "stage store"
pytestmark = pytest.mark.needs_trait(SURVIVES)
KILLS = 15
LINES_BEFORE_KILL_MAX = 120
SEED = 20


def run_until_killed(backend: str, data_dir: Path, name: str, lines: int) -> list[tuple[int, int, str]]:
    """Start a writer, kill it once it acknowledged that many lines, and return all acknowledged lines."""
    script = Path(__file__).with_name("crash_writer.py")
    with subprocess.Popen([sys.executable, script, backend, data_dir, name], stdout=subprocess.PIPE) as child:
        read = b""
        while read.count(b"\n") < lines:
            piece = os.read(child.stdout.fileno(), 65_536)
            assert piece, "the writer ended by itself"
            read += piece
        child.send_signal(signal.SIGKILL)
        read += child.stdout.read()
    whole = read[: read.rfind(b"\n") + 1].decode().splitlines()
    return [(int(partition), int(offset), digest) for partition, offset, digest in map(str.split, whole)]


async def counted(store, task: int) -> int:
    """Return the number of stored appends of a task by its cell, its cap and its wait, which must agree."""
    key = b"%d" % task
    count = int((await Look(store).cells(0, [key])).get(key, b"0"))
    block = (await Look(store).caps("acme", b"rule", [task])).get(task, bytes(4 * CAP_BLOCK_USERS))
    assert unpack_from("<I", block, 4 * task) == (count,)
    assert [int(wait.subject) for wait in await Look(store).waits("acme", key)] == ([count - 1] if count else [])
    return count


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_to_kill_9(backend, open_store, tmp_path):
    chance = random.Random(SEED)
    acknowledged: dict[tuple[int, int], str] = {}
    for kill in range(KILLS):
        for partition, offset, digest in run_until_killed(
            backend, tmp_path, f"w{kill}", chance.randint(1, LINES_BEFORE_KILL_MAX)
        ):
            assert (partition, offset) not in acknowledged, "one offset was given twice"
            acknowledged[partition, offset] = digest
        if backend in ENGINES:
            await until_alone(database_of(tmp_path))
        store = open_store()
        stored = {(p, f.offset): f for p in range(PARTITIONS) for f in await Look(store).read("t", p, 0, 1_000_000)}
        counts = [await counted(store, task) for task in range(TASKS)]
        await store.close()
        assert {key: sha256(stored[key].payload).hexdigest() for key in acknowledged} == acknowledged
        for partition in range(PARTITIONS):
            found = [offset for p, offset in stored if p == partition]
            assert found == list(range(1, len(found) + 1))
        # Both frames of an append are stored or none.
        assert len({len([1 for p, _ in stored if p == partition]) for partition in range(PARTITIONS)}) == 1
        assert sum(counts) * PARTITIONS == len(stored)
    assert len(acknowledged) > KILLS


async def test_everything_is_there_after_reopening(open_store):
    first = open_store()
    lease = await held(first)
    await first.commit(
        StageResult(
            frames=[frame(), frame()], timers=[timer(b"1", 5)], progress=GroupProgress(commits=[Commit(lease, "t", 1)])
        )
    )
    await first.close()
    second = open_store()
    assert (
        await offsets(second),
        await Look(second).next_due_ms(),
        (await Look(second).committed("g", 0))["t"].offset,
    ) == ([1, 2], 5, 1)
    assert (await second.commit(StageResult(frames=[frame()], lease=lease))).offsets == [3]


async def test_the_first_start_fixes_the_number_of_partitions(open_store):
    for partitions in (3, 7):
        store = open_store(partitions)
        assert store.partitions == 3
        await store.close()
