"""The rigs may be missing: whoever asks for them is told in one sentence, and a fault of ours is not taken for that."""

import logging
import sys

import pytest
import structlog
from prometheus_client import values
from typer.testing import CliRunner

from clarion.app import cli, lab, wiring
from clarion.app.config import load

SENTENCE = "'clarion demo' comes with clarion-lab, which is not installed here; get it with: pip install clarion-lab"
OF_THE_RIGS = [name for name, place in cli.COMMANDS.items() if place.startswith(cli.LAB)]


class Without:
    """Finds one package nowhere."""

    def __init__(self, name):
        self._name = name

    def find_spec(self, name, path=None, target=None):
        if name == self._name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def without(monkeypatch, name):
    """Let an import of this package fail as where it is not installed."""
    for loaded in list(sys.modules):
        if loaded.partition(".")[0] in (lab.PACKAGE, name):
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [Without(name), *sys.meta_path])


@pytest.mark.parametrize("missing", ["clarion_lab", "aiosmtpd"])
def test_rigs_or_a_library_of_theirs_may_be_missing(monkeypatch, missing):
    without(monkeypatch, missing)
    with pytest.raises(lab.LabMissing) as told:
        lab.part("demo.cli", "'clarion demo'")
    assert str(told.value) == SENTENCE


def test_a_module_of_the_rigs_that_is_not_there_is_a_fault_of_ours():
    with pytest.raises(ModuleNotFoundError):
        lab.part("demo.nowhere", "'clarion demo'")


def test_rigs_are_found_where_they_are():
    assert OF_THE_RIGS == ["demo", "simulate", "bench", "chaos"]
    assert lab.part("demo.cli", "").demo.__name__ == "demo"


@pytest.mark.parametrize("name", OF_THE_RIGS)
def test_a_command_of_missing_rigs_is_listed_and_says_so_whatever_its_words_are(monkeypatch, name):
    without(monkeypatch, "clarion_lab")
    command = cli.Commands(name="clarion").get_command(None, name)
    assert (command.name, command.help) == (name, "Not installed: pip install clarion-lab")
    for words in ([], ["word", "--option", "3"], ["--help"]):
        done = CliRunner().invoke(cli.app, [name, *words])
        assert str(done.exception) == SENTENCE.replace("demo", name)


@pytest.fixture
def _process(monkeypatch):
    """What a process sets up for itself, taken back: its log, and where it counts."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_process")
def test_a_process_that_is_asked_for_delays_does_not_run_without_them(monkeypatch, tmp_path):
    without(monkeypatch, "clarion_lab")
    monkeypatch.setenv(lab.DELAYS_VARIABLE, "{}")
    with pytest.raises(lab.LabMissing, match=lab.DELAYS_VARIABLE):
        wiring.Parts(load(None, {"CLARION_DATA_DIR": str(tmp_path), "CLARION_STORE": "memory"}), "api")


@pytest.mark.usefixtures("_process")
def test_nothing_of_the_rigs_is_loaded_by_a_process_that_is_not_asked_for_delays(monkeypatch, tmp_path):
    without(monkeypatch, "clarion_lab")
    monkeypatch.delenv(lab.DELAYS_VARIABLE, raising=False)
    wiring.Parts(load(None, {"CLARION_DATA_DIR": str(tmp_path), "CLARION_STORE": "memory"}), "api")
