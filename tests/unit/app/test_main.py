"""What a command that fails leaves on the terminal: a sentence where somebody can mend it, a traceback where we have to."""

import pytest

from clarion.app import cli
from clarion.domain.errors import DurabilityError, InvalidField, OperatorError, StaleLease, StoreUnavailable


def ended(monkeypatch, capsys, error):
    def fails():
        raise error

    monkeypatch.setattr(cli, "app", fails)
    monkeypatch.setattr(cli.os, "umask", lambda mask: None)
    with pytest.raises(SystemExit) as end:
        cli.main()
    captured = capsys.readouterr()
    assert captured.out == ""
    return end.value.code, captured.err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OperatorError("No such file."), 2, "clarion: No such file.\n"),
        (InvalidField("is none", field="to"), 2, "clarion: is none\n"),
        (DurabilityError("a commit failed"), 1, "clarion: a commit failed\n"),
        (ExceptionGroup("all", [OperatorError("Taken.")]), 2, "clarion: Taken.\n"),
        (
            ExceptionGroup("all", [DurabilityError("a commit failed"), ExceptionGroup("", [StoreUnavailable("gone")])]),
            1,
            "clarion: a commit failed\nclarion: gone\n",
        ),
        (ExceptionGroup("all", [DurabilityError("full"), DurabilityError("full")]), 1, "clarion: full\n"),
    ],
)
def test_what_can_be_mended_is_told_in_sentences(monkeypatch, capsys, error, code, words):
    assert ended(monkeypatch, capsys, error) == (code, words)


@pytest.mark.parametrize(
    "error", [StaleLease("lost"), ExceptionGroup("all", [OperatorError("Taken."), KeyError("oops")])]
)
def test_a_fault_of_ours_keeps_its_traceback(monkeypatch, error):
    def fails():
        raise error

    monkeypatch.setattr(cli, "app", fails)
    monkeypatch.setattr(cli.os, "umask", lambda mask: None)
    with pytest.raises(type(error)):
        cli.main()
