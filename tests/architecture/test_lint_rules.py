"""The project's own lint rules find the code that they forbid and accept clean code."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUFF = Path(sys.executable).with_name("ruff")

IMPURE = {
    "clock": "import time\n\nNOW = time.time()\n",
    "monotonic clock": "from time import monotonic\n\nNOW = monotonic()\n",
    "calendar": "from datetime import UTC, datetime\n\nNOW = datetime.now(UTC)\n",
    "chance": "import random\n\nX = random.random()\n",
    "secrets": "import secrets\n\nX = secrets.token_hex()\n",
    "urandom": "import os\n\nX = os.urandom(8)\n",
    "uuid": "from uuid import uuid4\n\nX = uuid4()\n",
}
PURE = "from datetime import datetime, timedelta\n\n\ndef after(now: datetime, wait: timedelta) -> datetime:\n    return now + wait\n"


def ruff(path: str, source: str, select: str) -> set[str]:
    """Return the codes that ruff, with the project's configuration, reports for a file at this path."""
    run = subprocess.run(
        [RUFF, "check", "--no-cache", "--output-format=concise", f"--select={select}", f"--stdin-filename={path}", "-"],
        input=source,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert run.returncode in (0, 1), run.stderr
    return {word for word in run.stdout.split() if word.startswith(("TID", "S"))}


@pytest.mark.parametrize("source", IMPURE.values(), ids=IMPURE.keys())
@pytest.mark.parametrize(
    "path", ["src/clarion/domain/x.py", "src/clarion/plan/rules/x.py", "src/clarion/control/users/rules.py"]
)
def test_time_and_chance_are_refused_in_pure_code(path: str, source: str):
    assert "TID251" in ruff(path, source, "TID251")


@pytest.mark.parametrize("path", ["src/clarion/domain/x.py", "src/clarion/plan/rules/x.py"])
def test_pure_code_passes(path: str):
    assert not ruff(path, PURE, "TID251")


@pytest.mark.parametrize("path", ["src/clarion/runtime/clock.py", "src/clarion/deliver/worker.py"])
def test_time_is_allowed_where_it_is_somebodys_job(path: str):
    assert not ruff(path, IMPURE["clock"], "TID251")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("import pickle\n\nX = pickle.loads(b'')\n", "S301"),
        ("X = eval('1')\n", "S307"),
        ("exec('1')\n", "S102"),
    ],
)
@pytest.mark.parametrize("path", ["src/clarion/stores/sqlite/x.py", "tests/unit/x.py"])
def test_pickle_eval_and_exec_are_refused_everywhere(path: str, source: str, code: str):
    assert code in ruff(path, source, "S")
