"""What the rigs refuse: engines that they do not know or that a case does not use, in a sentence and with nothing left behind."""

import tempfile
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from clarion.domain.errors import OperatorError
from clarion_lab.bench.cli import bench
from clarion_lab.chaos.cli import chaos


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (chaos, "kill9 --engine oracle"),
        (chaos, "edge --engine postgres"),
        (chaos, "outage --engine postgres"),
        (bench, "push --engine oracle"),
        (bench, "idle --engine postgres"),
        (bench, "guard --engine postgres"),
        (bench, "rtt --engine oracle"),
        (bench, "workers --engine oracle"),
        (bench, "push --engine postgres --bound cpu_ratio=1"),
        (bench, "push --engine postgres --against HEAD"),
    ],
)
def test_it_is_refused(command, words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, words.split())
    assert isinstance(result.exception, OperatorError)
    assert str(result.exception).endswith(".")
    assert list(tmp_path.iterdir()) == []
