"""The command line. Commands are named here and imported when they are called, so that each starts quickly."""

import errno
import importlib
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, Final, NoReturn

import typer
import typer.core
from typer.main import get_command

from clarion.app import lab
from clarion.domain.errors import (
    CallerError,
    ClarionError,
    DurabilityError,
    NoRoom,
    OperatorError,
    Overloaded,
    StoreUnavailable,
)
from clarion.ops.crashes import mask_crashes
from clarion.ops.log_masking import masked_text

EXIT_FAILED: Final = 1
EXIT_OPERATOR: Final = 2
EXIT_NO_ROOM: Final = 75
"""A store has no room now, so that a later start may succeed (`EX_TEMPFAIL` of sysexits.h)."""
EXIT_INTERRUPTED: Final = 130
"""Interrupted before there was anything to stop (128 and the number of SIGINT)."""
_OWNER_ONLY: Final = 0o077
"""Every file that is written may hold personal data or keys: databases, their logs, backups."""

_EXPECTED: Final = (OperatorError, CallerError, DurabilityError, StoreUnavailable)
"""Errors that one sentence explains in full. Any other error is a defect of Clarion, and its traceback is needed."""

_RESOURCES: Final = {
    errno.EMFILE: "This process may not open more files; raise the limit (ulimit -n).",
    errno.ENFILE: "The system may not open more files; raise its limit (fs.file-max).",
    errno.ENOMEM: "There is not enough memory.",
}
"""What an operator can do about a system error that names no file."""
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_OF_FILES: Final = _NO_ROOM | {
    errno.EACCES, errno.EEXIST, errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EPERM,
    errno.EROFS,
}  # fmt: skip
"""System errors of a file or folder that an operator has to mend. A missing file is not among them: those that may be
missing are expected where they are read."""

_OF_DATABASE_FILES: Final = {
    "CantOpenError": "this user may not open it, or its folder",
    "NotADBError": "it is no database; restore it from a backup",
    "CorruptError": "it is damaged; restore all of one backup",
    "FullError": "its disk is full",
    "IOError": "its disk cannot be read or written",
    "ReadOnlyError": "this user may not write it",
    "PermissionsError": "this user may not use it",
}
"""Errors of SQLite that an operator has to mend, by their names."""

LAB: Final = f"{lab.PACKAGE}."
COMMANDS: Final = {
    "init": "clarion.app.cli.processes:init",
    "migrate": "clarion.app.cli.processes:migrate",
    "doctor": "clarion.app.cli.doctor:doctor",
    "migrate-store": "clarion.app.cli.migrate_store:migrate_store",
    "up": "clarion.app.cli.processes:up",
    "demo": f"{LAB}demo.cli:demo",
    "send": "clarion.app.cli.send:send",
    "status": "clarion.app.cli.send:status",
    "users": "clarion.app.cli.users:app",
    "keys": "clarion.app.cli.keys:app",
    "operator": "clarion.app.cli.operator:app",
    "providers": "clarion.app.cli.providers:app",
    "dead-letters": "clarion.app.cli.dead_letters:app",
    "templates": "clarion.app.cli.templates:app",
    "workflows": "clarion.app.cli.workflows:app",
    "config": "clarion.app.cli.processes:config",
    "api": "clarion.app.cli.processes:api",
    "worker": "clarion.app.cli.processes:worker",
    "scheduler": "clarion.app.cli.processes:scheduler",
    "gateway": "clarion.app.cli.processes:gateway",
    "all-in-one": "clarion.app.cli.processes:all_in_one",
    "simulate": f"{LAB}simulate.cli:simulate",
    "bench": f"{LAB}bench.cli:bench",
    "chaos": f"{LAB}chaos.cli:chaos",
}
"""Each command with its target: a function, or a `typer.Typer` of subcommands. Targets in `LAB` may not be
installed."""


class Commands(typer.core.TyperGroup):
    """The commands of `COMMANDS`, in that order."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help text."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        if not module.startswith(LAB):
            return _command(cmd_name, getattr(importlib.import_module(module), attribute))
        try:
            found = lab.part(module.removeprefix(LAB), f"'clarion {cmd_name}'")
        except lab.LabMissing as missing:
            return _missing(cmd_name, missing)
        return _command(cmd_name, getattr(found, attribute))


def _command(name: str, target: typer.Typer | Callable[..., Any]) -> Any:
    if not isinstance(target, typer.Typer):
        function, target = target, typer.Typer(add_completion=False)
        target.command(name)(function)
    command = get_command(target)
    command.name = name
    return command


def _missing(name: str, detail: lab.LabMissing) -> Any:
    """Return a command that takes any arguments and reports the missing package."""
    target = typer.Typer(add_completion=False)
    anything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

    @target.command(name, help=f"Not installed here; to get it, {lab.INSTALL}", context_settings=anything)
    def missing() -> None:
        raise detail

    command = get_command(target)
    command.name = name
    return command


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(importlib.import_module("clarion.app.cli.version").version())
        raise typer.Exit


@app.callback()
def clarion(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and the commit")
    ] = False,
) -> None:
    """Clarion: one API decides who is notified, when, where and through whom, and can explain why later."""


def main() -> NoReturn:
    """Run the command line. An error that an operator can fix is one sentence and exit code 2, an error of a store is
    one sentence and exit code 1, or 75 when it has no room; a file that the system refuses is one sentence, too. None
    prints a traceback. Any other error does, without local values."""
    os.umask(_OWNER_ONLY)
    mask_crashes()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        sentence = _sentence_of(error)
        if sentence is None:
            raise
        sys.stderr.write(f"clarion: {masked_text(sentence)}\n")
        sys.exit(EXIT_NO_ROOM if error.errno in _NO_ROOM else EXIT_OPERATOR)
    except (ClarionError, ExceptionGroup) as error:
        causes = _causes(error)
        if not all(isinstance(cause, _EXPECTED) for cause in causes):
            raise
        for sentence in dict.fromkeys(map(str, causes)):
            sys.stderr.write(f"clarion: {masked_text(sentence)}\n")
        if all(isinstance(cause, NoRoom | Overloaded) for cause in causes):
            sys.exit(EXIT_NO_ROOM)
        if not all(isinstance(cause, OperatorError | CallerError) for cause in causes):
            sys.exit(EXIT_FAILED)
    except Exception as error:
        # The driver is not imported for this: most commands need none.
        if type(error).__module__ != "apsw" or type(error).__name__ not in _OF_DATABASE_FILES:
            raise
        sys.stderr.write(f"clarion: {unusable_file(error)}\n")
        sys.exit(EXIT_NO_ROOM if type(error).__name__ == "FullError" else EXIT_OPERATOR)
    sys.exit(EXIT_OPERATOR)


def unusable_file(error: Exception) -> str:
    """Return the sentence for a database file that SQLite cannot use."""
    reason = _OF_DATABASE_FILES.get(type(error).__name__, str(error))
    return f"A database file of the installation cannot be used: {reason} (SQLite says: {masked_text(str(error))})."


def _sentence_of(error: OSError) -> str | None:
    """Return what an operator needs to know of a system error, None when it may be a defect."""
    if error.errno in _RESOURCES:
        return _RESOURCES[error.errno]
    if error.errno not in _OF_FILES or error.filename is None:
        return None
    reason = "It is not a folder" if error.errno == errno.EEXIST else error.strerror
    return f"Cannot use {os.fsdecode(error.filename)}: {reason}."


def _causes(error: Exception) -> list[Exception]:
    """Return the errors themselves, unpacked from the groups that concurrent tasks raise."""
    if not isinstance(error, ExceptionGroup):
        return [error]
    return [cause for one in error.exceptions for cause in _causes(one)]


if __name__ == "__main__":
    main()
