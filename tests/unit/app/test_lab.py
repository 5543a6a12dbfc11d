"""The rigs may be missing: their commands say so in one sentence; a fault of Clarion is not reported as missing rigs."""

import asyncio
import logging
import sys

import pytest
import structlog
from prometheus_client import values
from typer.testing import CliRunner

from clarion.app import lab
from clarion.app.cli import main as cli
from clarion.app.config.loading import load
from clarion.app.wiring import parts as wiring

SENTENCE = "'clarion demo' comes with clarion-lab, which is not installed here; to get it, run 'make setup' in a checkout of Clarion."
OF_THE_RIGS = [name for name, place in cli.COMMANDS.items() if place.startswith(cli.LAB)]


class Without:
    """Finds one package nowhere."""

    def __init__(self, name):
        self._name = name

    def find_spec(self, name, path=None, target=None):
        if name == self._name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def without(monkeypatch, name):
    """Make an import of this package fail as if it were not installed."""
    for loaded in list(sys.modules):
        if loaded.partition(".")[0] in (lab.PACKAGE, name):
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [Without(name), *sys.meta_path])


@pytest.mark.parametrize("missing", ["clarion_lab", "aiosmtpd"])
def test_rigs_or_one_of_their_libraries_may_be_missing(monkeypatch, missing):
    without(monkeypatch, missing)
    with pytest.raises(lab.LabMissing) as result:
        lab.part("demo.cli", "'clarion demo'")
    assert str(result.value) == SENTENCE


def test_a_missing_module_of_the_rigs_is_a_bug():
    with pytest.raises(ModuleNotFoundError):
        lab.part("demo.nowhere", "'clarion demo'")


def test_installed_rigs_are_found():
    assert OF_THE_RIGS == ["demo", "simulate", "bench", "chaos"]
    assert lab.part("demo.cli", "").demo.__name__ == "demo"


@pytest.mark.parametrize("name", OF_THE_RIGS)
def test_a_command_of_missing_rigs_is_listed_and_reports_them_for_any_arguments(monkeypatch, name):
    without(monkeypatch, "clarion_lab")
    command = cli.Commands(name="clarion").get_command(None, name)
    assert (command.name, command.help) == (
        name,
        "Not installed here; to get it, run 'make setup' in a checkout of Clarion",
    )
    for words in ([], ["word", "--option", "3"], ["--help"]):
        done = CliRunner().invoke(cli.app, [name, *words])
        assert str(done.exception) == SENTENCE.replace("demo", name)


@pytest.fixture
def _process(monkeypatch):
    """Undo what a process sets up for itself: its log, and its metrics."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_process")
def test_a_process_configured_with_delays_does_not_run_without_them(monkeypatch, tmp_path):
    without(monkeypatch, "clarion_lab")
    monkeypatch.setenv(lab.DELAYS_VARIABLE, "{}")
    with pytest.raises(lab.LabMissing, match=lab.DELAYS_VARIABLE):
        asyncio.run(
            wiring.Parts.open(load(None, {"CLARION_DATA_DIR": str(tmp_path), "CLARION_STORE": "memory"}), "api")
        )


@pytest.mark.usefixtures("_process")
def test_a_process_without_delays_loads_nothing_of_the_rigs(monkeypatch, tmp_path):
    without(monkeypatch, "clarion_lab")
    monkeypatch.delenv(lab.DELAYS_VARIABLE, raising=False)
    asyncio.run(wiring.Parts.open(load(None, {"CLARION_DATA_DIR": str(tmp_path), "CLARION_STORE": "memory"}), "api"))
