"""A build that cannot read what a newer one may have written does not start: one sentence, whatever the process."""

import os
import sqlite3
import subprocess
import sys

import pytest

from clarion.domain.feature_level import FEATURE_LEVEL

pytestmark = [pytest.mark.e2e, pytest.mark.processes, pytest.mark.files]


@pytest.fixture
def ahead(tmp_path):
    """Return the environment of an installation that a newer build has used."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
    env |= {"CLARION_DATA_DIR": str(tmp_path), "CLARION_LOG_LEVEL": "error"}
    run("init", env)
    with sqlite3.connect(tmp_path / "journal.db") as db:
        db.execute("INSERT OR REPLACE INTO meta VALUES ('feature_level', ?)", (FEATURE_LEVEL + 1,))
    db.close()
    return env


def run(command, env):
    words = [sys.executable, "-m", "clarion", command]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", ["api", "worker", "scheduler"])
def test_a_process_says_so_and_ends(ahead, command):
    done = run(command, ahead)
    assert done.returncode == 2, done.stderr
    assert f"its feature level is {FEATURE_LEVEL + 1}, and this build reads up to {FEATURE_LEVEL}" in done.stderr
    assert "Traceback" not in done.stderr
