"""Hostile templates are stopped in time and in memory, and only they are: the next one renders.

To add an attack, put a file into `attacks/<engine>` and its expected result into `expected.toml` there.
"""

import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ATTACKS = Path(__file__).parent / "attacks"
CPU_MS_MAX = 250
PEAK_MB_MAX = 64
TRIAL_S_MAX = 300


def attacks():
    names = sorted(path.stem for path in (ATTACKS / "liquid").glob("*.liquid"))
    return [
        pytest.param(name, html, id=f"{name}-{'html' if html else 'text'}") for name in names for html in (False, True)
    ]


@cache
def trials():
    """Return the result of each attack, run one after the other in processes of their own."""
    run = [sys.executable, str(ATTACKS / "trial.py"), "liquid", str(ATTACKS / "liquid")]
    lines = subprocess.run(run, check=True, capture_output=True, text=True, timeout=TRIAL_S_MAX).stdout.splitlines()
    return {(found["attack"], found["html"]): found for found in map(json.loads, lines)}


@cache
def expected():
    return tomllib.loads((ATTACKS / "liquid" / "expected.toml").read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "html"), attacks())
@pytest.mark.nightly
def test_an_attack_harms_nobody_else(attack, html):
    found, wanted = trials()[attack, html], expected().get(attack, {"outcome": "any"})
    assert found["outcome"] in ("syntax", "render", "text"), found
    assert wanted["outcome"] in ("any", found["outcome"]), found
    assert re.search(wanted.get("says", ""), found["reason"]), found
    assert found["cpu_ms"] <= CPU_MS_MAX, found
    assert found["peak_mb"] <= PEAK_MB_MAX, found
    assert found["next"] == "text", found


def test_every_expectation_is_of_an_attack():
    assert set(expected()) <= {path.stem for path in (ATTACKS / "liquid").glob("*.liquid")}
