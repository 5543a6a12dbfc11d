"""A process that is killed anywhere in a commit leaves all of it or nothing: documents, references, artifacts, the revision and
the row of the audit."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clarion.ports.documents import Expected
from tests.contract.backends import SURVIVES
from tests.contract.controls import ControlPlane
from tests.contract.crash_documents import AUTHOR, BEFORE, GONE, KEPT, NEW

PORT = "control"
STEPS_MAX = 60


async def found(control_plane):
    """Return all that a commit changes, as another process sees it."""
    other = ControlPlane(control_plane.data_dir, control_plane.clock, control_plane.backend)
    documents = other.control.documents
    await other.directory.refresh()
    there = await documents.read([KEPT, GONE, NEW])
    state = (
        {key.key: (one.version, one.body) for key, one in there.items()},
        await documents.referrers([NEW]),
        await documents.artifacts([KEPT, NEW]),
        len(await documents.audit("acme", 0, 9)),
        other.directory.revision("acme"),
    )
    await other.close()
    return state


def killed_before(control_plane, step):
    """Commit in a child that dies before that step; return whether it did."""
    script = Path(__file__).with_name("crash_documents.py")
    command = [sys.executable, script, control_plane.backend, control_plane.data_dir, str(step)]
    done = subprocess.run(command, check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


async def check(control_plane, steps):
    await control_plane.control.documents.commit(AUTHOR, BEFORE, Expected())
    before = await found(control_plane)
    assert before[:4] == ({"kept": (1, b"1"), "gone": (1, b"1")}, {NEW: frozenset()}, {KEPT: b"built 1"}, 1)
    for step in steps:
        if not killed_before(control_plane, step):
            break
        assert await found(control_plane) == before, step
    else:
        assert not killed_before(control_plane, STEPS_MAX)
    after = await found(control_plane)
    assert after[:4] == (
        {"kept": (2, b"2"), "new": (1, b"1")},
        {NEW: frozenset({KEPT})},
        {KEPT: b"built 2", NEW: b"built 1"},
        2,
    )
    assert after[4] > before[4]
    return step


@pytest.mark.needs_trait(SURVIVES)
async def test_a_commit_killed_in_the_middle_leaves_nothing(control_plane):
    await check(control_plane, [12])


@pytest.mark.parametrize("apart", [5, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.slow
@pytest.mark.needs_trait(SURVIVES)
async def test_a_commit_killed_anywhere_leaves_nothing(control_plane, apart):
    assert await check(control_plane, range(1, STEPS_MAX, apart)) > 15
