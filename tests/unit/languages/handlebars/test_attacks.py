"""Any template is stopped in time, in bounded memory, and the next one renders."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clarion.domain.limits_content import HANDLEBARS_COMPILE_CPU_MS_MAX, RENDER_CPU_MS_MAX
from tests.unit.languages.handlebars import starved
from tests.unit.languages.handlebars.attacks import ESCAPES, TOO_MUCH

ROOT = Path(__file__).parents[4]
CPU_MS_BOUND = min(RENDER_CPU_MS_MAX, HANDLEBARS_COMPILE_CPU_MS_MAX)
CPU_MS_MAX = 250 + 50  # 250 on an otherwise idle machine
MEMORY_MB_MAX = 64

pytestmark = pytest.mark.slow


def run(module):
    command = [sys.executable, "-m", module]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def outcomes():
    return dict(json.loads(line) for line in run("tests.unit.languages.handlebars.attacked").splitlines())


@pytest.mark.parametrize("name", TOO_MUCH)
def test_an_attack_is_stopped(outcomes, name):
    outcome = outcomes[name]
    words = TOO_MUCH[name][1]
    if outcome["cpu_ms"] >= CPU_MS_BOUND:
        words = f"{words}|takes too much time"  # on a slow machine the bound of time may come before another one
    assert re.search(words, outcome["said"])
    assert outcome["cpu_ms"] < CPU_MS_MAX
    assert outcome["peak_mb"] < MEMORY_MB_MAX
    assert outcome["after"] == "99"


@pytest.mark.parametrize("name", ESCAPES)
def test_nothing_but_data_can_be_reached(outcomes, name):
    assert outcomes[name]["said"].startswith(("RenderError", "SyntaxProblem"))
    assert outcomes[name]["after"] == "99"


def test_running_out_of_memory_anywhere_ends_the_render_and_not_the_process():
    assert int(run("tests.unit.languages.handlebars.starved")) == len(starved.KILOBYTES) * len(starved.NAMES)
