"""SIGKILL at random moments: what was acknowledged is there, whole and in its place, and nothing has a gap."""

import os
import random
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from struct import unpack_from

import pytest

from clarion.backends.sqlite.migrate import path_of
from clarion.domain.errors import CorruptFrame
from clarion.domain.limits_deciding import CAP_BLOCK_USERS
from clarion.journal.codec import decode, encode
from clarion.journal.events import CancelledFrame
from tests.contract.crash_writer import PARTITIONS, TASKS
from tests.contract.journals import frames, sqlite
from tests.look import Look

KILLS = 15
LINES_BEFORE_KILL_MAX = 120
SEED = 20


def run_until_killed(data_dir: Path, name: str, lines: int) -> list[tuple[int, int, str]]:
    """Start a writer, kill it once it acknowledged that many lines, and return all it acknowledged."""
    script = Path(__file__).with_name("crash_writer.py")
    with subprocess.Popen([sys.executable, script, data_dir, name], stdout=subprocess.PIPE) as child:
        read = b""
        while read.count(b"\n") < lines:
            piece = os.read(child.stdout.fileno(), 65_536)
            assert piece, "the writer ended by itself"
            read += piece
        child.send_signal(signal.SIGKILL)
        read += child.stdout.read()
    whole = read[: read.rfind(b"\n") + 1].decode().splitlines()
    return [(int(partition), int(offset), digest) for partition, offset, digest in map(str.split, whole)]


async def counted(journal, task: int) -> int:
    """Return how many appends of a task are stored, as its cell, its cap and its wait say, which have to agree."""
    key = b"%d" % task
    count = int((await Look(journal).cells(0, [key])).get(key, b"0"))
    block = (await Look(journal).caps("acme", b"rule", [task])).get(task, bytes(4 * CAP_BLOCK_USERS))
    assert unpack_from("<I", block, 4 * task) == (count,)
    assert [int(wait.subject) for wait in await Look(journal).waits("acme", key)] == ([count - 1] if count else [])
    return count


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_to_kill_9(tmp_path, clock):
    chance = random.Random(SEED)
    acknowledged: dict[tuple[int, int], str] = {}
    for kill in range(KILLS):
        for partition, offset, digest in run_until_killed(
            tmp_path, f"w{kill}", chance.randint(1, LINES_BEFORE_KILL_MAX)
        ):
            assert (partition, offset) not in acknowledged, "one offset was given twice"
            acknowledged[partition, offset] = digest
        journal = sqlite(tmp_path, clock)
        stored = {(p, f.offset): f for p in range(PARTITIONS) for f in await Look(journal).read("t", p, 0, 1_000_000)}
        counts = [await counted(journal, task) for task in range(TASKS)]
        await journal.close()
        assert {key: sha256(stored[key].payload).hexdigest() for key in acknowledged} == acknowledged
        for partition in range(PARTITIONS):
            found = [offset for p, offset in stored if p == partition]
            assert found == list(range(1, len(found) + 1))
        # Both frames of an append are stored or none.
        assert len({len([1 for p, _ in stored if p == partition]) for partition in range(PARTITIONS)}) == 1
        assert sum(counts) * PARTITIONS == len(stored)
    assert len(acknowledged) > KILLS


@pytest.mark.parametrize("seed", range(5))
async def test_a_payload_changed_on_disk_is_not_decoded(tmp_path, clock, seed):
    chance = random.Random(seed)
    event = CancelledFrame(["acme"] * 50, [chance.randbytes(16) for _ in range(50)], [1] * 50)
    whole = encode(event, 50)
    journal = sqlite(tmp_path, clock)
    await journal.commit(frames(whole))
    await journal.close()

    path = path_of(tmp_path, "journal")
    image = bytearray(path.read_bytes())
    at = image.index(whole) + chance.randrange(len(whole))
    image[at] ^= 1 << chance.randrange(8)
    path.write_bytes(image)

    journal = sqlite(tmp_path, clock)
    (stored,) = await Look(journal).read("t", 0, 0)
    await journal.close()
    assert stored.payload != whole
    with pytest.raises(CorruptFrame):
        decode(stored.payload)
