"""An old name of a command is refused with the new one."""

import sys

import pytest

from clarion.app import cli
from clarion.domain.renamed import COMMANDS


def called(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["clarion", *words])
    monkeypatch.setattr(cli.os, "umask", lambda mask: None)
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize(("old", "new"), COMMANDS.items())
def test_an_old_command_is_refused_in_one_sentence_that_names_the_new_one(monkeypatch, capsys, old, new):
    assert called(monkeypatch, capsys, *old.split()) == (
        2,
        f"clarion: 'clarion {old}' is now called 'clarion {new}'.\n",
    )


@pytest.mark.parametrize("new", COMMANDS.values())
def test_the_new_command_is_there(monkeypatch, capsys, new):
    code, _ = called(monkeypatch, capsys, *new.split(), "--help")
    assert code == 0
