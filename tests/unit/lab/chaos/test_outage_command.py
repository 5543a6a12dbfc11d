"""`clarion chaos outage`: the last line is one JSON object, and the exit code says whether the run passed."""

import json

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from clarion_lab.chaos import cli
from clarion_lab.outage import verdict as outage

PASSED = outage.Verdict(0, 1.0, 0.9, 1.4, 0, 3, {}, {"asked": 9.0}, "abcd")
LOST = msgspec.structs.replace(PASSED, lost=1, faults={"lost": ["1", "0123"]})


@pytest.fixture
def run(monkeypatch):
    def run(verdict):
        reported = []
        monkeypatch.setattr(cli.virtual, "run", lambda seed, folder, say: reported.append((seed, folder.is_dir())))
        monkeypatch.setattr(outage, "judge", lambda evidence: verdict)
        app = typer.Typer()
        app.command()(cli.chaos)
        return CliRunner().invoke(app, ["outage", "--seed", "7"]), reported

    return run


def test_a_run_that_passed(run):
    done, reported = run(PASSED)
    assert (done.exit_code, reported) == (0, [(7, True)])
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "lost": 0, "recovered_share": 1.0, "amplification": 0.9, "spike": 1.4, "collateral": 0, "suppressed": 3, "seed": 7,
    }  # fmt: skip


def test_a_failed_run_reports_its_faults_and_how_to_repeat_it(run):
    done, _ = run(LOST)
    assert done.exit_code == 1
    assert "lost: 1, such as 0123" in done.stderr
    assert "make chaos CASE=outage SEED=7" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["lost"] == 1
