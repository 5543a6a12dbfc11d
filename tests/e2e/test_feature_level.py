"""A build that cannot read what a newer one may have written does not start, and ends if it runs: one sentence, whatever the process."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from clarion.domain.feature_level import FEATURE_LEVEL
from clarion.domain.limits_processes import ENROLLMENT_MS
from clarion_lab.load.programs import free_port
from tests.e2e.outside import until

pytestmark = [pytest.mark.e2e, pytest.mark.processes, pytest.mark.files]


COMMANDS = "api", "worker", "scheduler"
SENTENCE = f"its feature level is {FEATURE_LEVEL + 1}, and this build reads up to {FEATURE_LEVEL}"
RENEWED_S = 2 * ENROLLMENT_MS / 1000


@pytest.fixture
def home(tmp_path):
    """Return the environment of an installation."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
    env |= {"CLARION_DATA_DIR": str(tmp_path), "CLARION_LOG_LEVEL": "error", "CLARION_API_PORT": str(free_port())}
    run("init", env)
    return env


def use_newer_build(home):
    """Leave what a newer build leaves when it alone is at work."""
    with sqlite3.connect(Path(home["CLARION_DATA_DIR"], "journal.db"), timeout=10) as db:
        db.execute("INSERT OR REPLACE INTO meta VALUES ('feature_level', ?)", (FEATURE_LEVEL + 1,))
    db.close()


def enrolled_in(home):
    with sqlite3.connect(Path(home["CLARION_DATA_DIR"], "journal.db"), timeout=10) as db:
        found = db.execute("SELECT count(*) FROM processes").fetchone()
    db.close()
    return found[0]


def run(command, env):
    words = [sys.executable, "-m", "clarion", command]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_process_says_so_and_ends(home, command):
    use_newer_build(home)
    done = run(command, home)
    assert done.returncode == 2, done.stderr
    assert SENTENCE in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.waits
def test_processes_that_run_end_when_they_see_it(home):
    words = [sys.executable, "-m", "clarion"]
    running = [
        subprocess.Popen([*words, command], env=home, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for command in COMMANDS
    ]
    try:
        until(lambda: enrolled_in(home) == len(COMMANDS), "all processes to enroll", 60)
        use_newer_build(home)
        for process in running:
            _, said = process.communicate(timeout=RENEWED_S)
            assert (process.returncode, SENTENCE in said, "Traceback" in said) == (2, True, False), said
    finally:
        for process in running:
            process.kill()
            process.communicate()
