"""SIGKILL at random moments of folding: every frame is folded exactly once, so the file holds the reference's rows."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clarion.stores.memory.state import MemoryState
from tests.contract import ledgers as world
from tests.contract.backends import SURVIVES
from tests.contract.states import STATES, dump, shut
from tests.contract.story import BATCH_FRAMES, story

PORT = "state"
SEED = 11
FRAMES = 900
BATCHES_BEFORE_KILL_MAX = 40


def run_until_killed(name: str, data_dir: Path, batches: int) -> bool:
    """Start a folder, kill it after that many batches; return whether it reached the end of the stream instead."""
    script = Path(__file__).with_name("crash_folder.py")
    command = [sys.executable, script, name, data_dir, str(SEED), str(FRAMES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        stored = 0
        while stored < batches:
            piece = os.read(child.stdout.fileno(), 4096)
            if not piece:
                assert child.wait() == 0
                return True
            stored += piece.count(b"\n")
        child.send_signal(signal.SIGKILL)
        return False


async def places(state) -> list:
    """Return the positions of users, and what stands where in their inboxes."""
    found = []
    for person in range(1, world.PEOPLE):
        head = await state.inbox.head(world.TENANT, f"user-{person}")
        own = await state.inbox.items(world.TENANT, f"user-{person}", None, FRAMES)
        assert [item.place.own for item in own] == list(range(len(own), 0, -1)), "own sequences have no gap"
        shared = await state.inbox.broadcasts(world.TENANT, f"user-{person}", person, None, None, FRAMES)
        found.append((head.position[1:], own, shared))
    return found


@pytest.mark.slow
@pytest.mark.needs_trait(SURVIVES)
@pytest.mark.parametrize("name", STATES)
async def test_kill_9_loses_and_repeats_nothing(name, tmp_path):
    chance = random.Random(SEED)
    kills = 0
    state = STATES[name](tmp_path)
    while not run_until_killed(name, tmp_path, chance.randint(1, BATCHES_BEFORE_KILL_MAX)):
        kills += 1
    assert kills >= 5
    referee, frames = MemoryState(), story(SEED, FRAMES)
    await world.fold_all(referee, [frames[n : n + BATCH_FRAMES] for n in range(0, len(frames), BATCH_FRAMES)])
    assert dump(state, tmp_path) == dump(referee, tmp_path)
    assert await places(state) == await places(referee)
    await shut(state)
