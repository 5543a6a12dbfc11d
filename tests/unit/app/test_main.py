"""What a failed command prints: a sentence where the user can fix the cause, a traceback for a bug of Clarion."""

import errno
import sys

import apsw
import pytest

from clarion.app.cli import main as cli
from clarion.domain.errors import (
    DurabilityError,
    InvalidField,
    NoRoom,
    OperatorError,
    Overloaded,
    StaleLease,
    StoreUnavailable,
)


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
        (NoRoom("state.db: full"), 75, "clarion: state.db: full\n"),
        (Overloaded("full"), 75, "clarion: full\n"),
        (ExceptionGroup("", [NoRoom("full")]), 75, "clarion: full\n"),
        (OSError(errno.ENOTDIR, "Not a directory", "/a/run"), 2, "clarion: Cannot use /a/run: Not a directory.\n"),
        (OSError(errno.ENOSPC, "No space left", b"/a/run"), 75, "clarion: Cannot use /a/run: No space left.\n"),
        (
            OSError(errno.EMFILE, "", "/a"),
            2,
            "clarion: This process may not open more files; raise the limit (ulimit -n).\n",
        ),
        (KeyboardInterrupt(), 130, ""),
        (
            apsw.NotADBError("file is not a database"),
            2,
            "clarion: A database file of the installation cannot be used: it is no database; restore it from a backup"
            " (SQLite says: file is not a database).\n",
        ),
        (
            apsw.FullError("database or disk is full"),
            75,
            "clarion: A database file of the installation cannot be used: its disk is full (SQLite says: database or disk is full).\n",
        ),
    ],
)
def test_errors_that_users_can_fix_are_reported_in_sentences(monkeypatch, capsys, error, code, words):
    assert ended(monkeypatch, capsys, error) == (code, words)


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["nope"], "'nope'"),
        (["providers", "nope"], "'nope'"),
        (
            ["worker", "--stages", "plan,delivery"],
            "clarion: There is no stage 'delivery'. --stages takes plan, deliver, record, separated by commas.\n",
        ),
        (
            ["worker", "--stages", "plan,record", "--channels", "sms"],
            "clarion: --channels is for the stage deliver, and this worker does plan, record: add deliver.\n",
        ),
    ],
)
def test_a_name_that_does_not_exist_is_refused(monkeypatch, capsys, tmp_path, words, refusal):
    monkeypatch.setenv("CLARION_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["clarion", *words])
    monkeypatch.setattr(cli.os, "umask", lambda mask: None)
    with pytest.raises(SystemExit) as end:
        cli.main()
    captured = capsys.readouterr()
    assert (end.value.code, captured.out) == (2, "")
    assert refusal in captured.err


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOENT, "gone", "/a"),
        OSError(errno.ENOSPC, "full"),
        StaleLease("lost"),
        apsw.SQLError("no such table"),
        ExceptionGroup("all", [OperatorError("Taken."), KeyError("oops")]),
    ],
)
def test_a_bug_keeps_its_traceback(monkeypatch, error):
    def fails():
        raise error

    monkeypatch.setattr(cli, "app", fails)
    monkeypatch.setattr(cli.os, "umask", lambda mask: None)
    with pytest.raises(type(error)):
        cli.main()
