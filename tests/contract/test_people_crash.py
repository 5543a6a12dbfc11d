"""A process that is killed anywhere in a sign-in leaves all of it or nothing: person, subject, session, link and the row of the audit."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.backends import SURVIVES
from tests.contract.controls import ControlPlane
from tests.contract.crash_people import AUTHOR, BEFORE

PORT = "people"
STEPS_MAX = 40


async def found(control_plane):
    """Return all that a commit changes, as another process sees it."""
    other = ControlPlane(control_plane.data_dir, control_plane.clock, control_plane.backend)
    people = other.control.people
    state = (
        await people.person("prs_ada") is not None,
        await people.by_subject("https://id", "1") is not None,
        [one.session_id for one in await people.sessions("prs_ada")],
        await people.link(b"link") is not None,
        [row.action for row in await other.control.documents.audit("acme", 0, 9)],
    )
    await other.close()
    return state


def killed_before(control_plane, step):
    """Commit in a child that dies before that step; return whether it did."""
    script = Path(__file__).with_name("crash_people.py")
    command = [sys.executable, script, control_plane.backend, control_plane.data_dir, str(step)]
    done = subprocess.run(command, check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


async def check(control_plane, steps):
    await control_plane.control.people.commit(AUTHOR, BEFORE)
    before = await found(control_plane)
    assert before == (False, False, ["ses_old"], True, ["invitation.put"])
    for step in steps:
        if not killed_before(control_plane, step):
            break
        assert await found(control_plane) == before, step
    else:
        assert not killed_before(control_plane, STEPS_MAX)
    assert await found(control_plane) == (True, True, ["ses_new"], False, ["invitation.put", "session.begin"])


@pytest.mark.needs_trait(SURVIVES)
async def test_a_sign_in_killed_in_the_middle_leaves_nothing(control_plane):
    await check(control_plane, [7])


@pytest.mark.parametrize("apart", [3, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.slow
@pytest.mark.needs_trait(SURVIVES)
async def test_a_sign_in_killed_anywhere_leaves_nothing(control_plane, apart):
    await check(control_plane, range(1, STEPS_MAX, apart))
