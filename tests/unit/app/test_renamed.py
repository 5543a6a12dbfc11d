"""Old names of commands, fields and paths are refused with the new ones."""

import sys

import msgspec
import pytest

from clarion.app import cli
from clarion.domain.errors import NoRoom, Overloaded
from clarion.domain.renamed import COMMANDS, FIELDS
from clarion.ports.web import invalid_field


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


def test_a_stage_that_does_not_exist_is_refused(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("CLARION_DATA_DIR", str(tmp_path))
    code, said = called(monkeypatch, capsys, "worker", "--stages", "plan,delivery")
    assert (code, said) == (
        2,
        "clarion: There is no stage 'delivery'. --stages takes plan, deliver, record, separated by commas.\n",
    )


@pytest.mark.parametrize("error", [NoRoom("state.db: full"), Overloaded("full"), ExceptionGroup("", [NoRoom("full")])])
def test_a_store_without_room_ends_a_command_with_its_own_code(monkeypatch, capsys, error):
    def fail():
        raise error

    monkeypatch.setattr(cli, "app", fail)
    code, said = called(monkeypatch, capsys, "up")
    assert (code, said.count("\n"), said.endswith("full\n")) == (cli.EXIT_NO_ROOM, 1, True)


@pytest.mark.parametrize("new", COMMANDS.values())
def test_the_new_command_is_there(monkeypatch, capsys, new):
    code, _ = called(monkeypatch, capsys, *new.split(), "--help")
    assert code == 0


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str = ""


class Body(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner = Inner()


@pytest.mark.parametrize(("old", "new"), FIELDS.items())
@pytest.mark.parametrize("place", ["", "inner"])
def test_an_old_field_is_refused_with_the_new_one(old, new, place):
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.convert({place: {old: 1}} if place else {old: 1}, Body)
    error = invalid_field(raised.value)
    path = f"{place}.{old}" if place else old
    assert (error.status, error.field, error.detail) == (422, path, f"`{old}` is now called `{new}`")
