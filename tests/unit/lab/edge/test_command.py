"""`clarion chaos edge`: the last line is one JSON object, and the exit code says whether every rule was kept."""

import json

import pytest
import typer
from typer.testing import CliRunner

from clarion.domain.errors import OperatorError
from clarion_lab.chaos import cli
from clarion_lab.edge import command
from clarion_lab.edge.run import EdgeRun
from clarion_lab.load.programs import RunError
from tests.unit.lab.edge.figures import KEPT


@pytest.fixture
def run(monkeypatch):
    def run(result, *words):
        made = []

        def measured(self):
            made.append((self._needs, [attack.name for attack in self._attacks], self._many))
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(EdgeRun, "run", measured)
        app = typer.Typer()
        app.command()(cli.chaos)
        done = CliRunner().invoke(app, ["edge", *words])
        done.made = made
        return done

    return run


def test_a_run_that_kept_every_rule(run):
    done = run(KEPT)
    line = json.loads(done.stdout.splitlines()[-1])
    assert (done.exit_code, line["attacks"], line["failed"]) == (0, 28, []), (
        "an installation with plain HTTP and one with TLS"
    )


def test_a_broken_rule_gives_exit_code_1_and_is_named(run):
    done = run(KEPT._replace(honest_errors=3))
    assert done.exit_code == 1
    assert json.loads(done.stdout.splitlines()[-1])["failed"] == ["honest_errors is 6, at most 0 permitted"]


def test_the_load_of_connections_is_made_against_both_installations(run):
    assert [(needs, many) for needs, _, many in run(KEPT).made] == [("plain", True), ("tls", True)]
    assert run(KEPT, "--only", "connections_many").made == [("plain", [], True), ("tls", [], True)]
    assert run(KEPT, "--only", "tls_handshakes").made == [("tls", ["tls_handshakes"], False)]


def test_a_run_that_could_not_end_gives_exit_code_1(run):
    assert run(RunError("the API process has ended")).exit_code == 1


def test_an_attack_that_does_not_exist_is_refused():
    with pytest.raises(OperatorError, match="There is no attack 'flod'; there is docs_unread_closed,"):
        command.edge("flod", keep=False)
