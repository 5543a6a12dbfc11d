"""The command line. Commands are named here and imported when they are called, so that each starts quickly."""

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn

import typer
import typer.core
from typer.main import get_command

from clarion.app import lab
from clarion.app.commands.groups import refuse_renamed
from clarion.domain.errors import CallerError, ClarionError, DurabilityError, OperatorError, StoreUnavailable

EXIT_FAILED: Final = 1
EXIT_OPERATOR: Final = 2
_OWNER_ONLY: Final = 0o077
"""Whatever is written holds personal data or keys: databases, their logs, backups."""

_TOLD: Final = (OperatorError, CallerError, DurabilityError, StoreUnavailable)
"""What a sentence says all of. Anything else is a fault of ours, and its traceback is worth reading."""

LAB: Final = f"{lab.PACKAGE}."
COMMANDS: Final = {
    "init": "clarion.app.commands.running:init",
    "up": "clarion.app.commands.running:up",
    "demo": f"{LAB}demo.cli:demo",
    "send": "clarion.app.commands.sending:send",
    "status": "clarion.app.commands.sending:status",
    "users": "clarion.app.commands.users:app",
    "keys": "clarion.app.commands.keys:app",
    "providers": "clarion.app.commands.providers:app",
    "dead-letters": "clarion.app.commands.dead_letters:app",
    "templates": "clarion.app.commands.templates:app",
    "workflows": "clarion.app.commands.workflows:app",
    "config": "clarion.app.commands.running:config",
    "api": "clarion.app.commands.running:api",
    "worker": "clarion.app.commands.running:worker",
    "scheduler": "clarion.app.commands.running:scheduler",
    "all-in-one": "clarion.app.commands.running:all_in_one",
    "simulate": f"{LAB}simulate.cli:simulate",
    "bench": f"{LAB}bench.cli:bench",
    "chaos": f"{LAB}chaos.cli:chaos",
}
"""Command to where it is: a function, or a `typer.Typer` of further commands. What is in `LAB` may not be installed."""


class Commands(typer.core.TyperGroup):
    """The commands of `COMMANDS`, in that order."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the help text."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a command."""
        refuse_renamed(cmd_name)
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


def _missing(name: str, why: lab.LabMissing) -> Any:
    """Return a command that takes any words and says what it lacks."""
    target = typer.Typer(add_completion=False)
    anything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}

    @target.command(name, help=f"Not installed: {lab.INSTALL}", context_settings=anything)
    def missing() -> None:
        raise why

    command = get_command(target)
    command.name = name
    return command


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def clarion() -> None:
    """Clarion: one API decides who is notified, when, where and through whom, and can say afterwards why."""


def main() -> NoReturn:
    """Run the command line. What an operator can mend is a sentence and exit code 2, what a store failed at is one and exit
    code 1; neither is a traceback."""
    os.umask(_OWNER_ONLY)
    try:
        app()
    except (ClarionError, ExceptionGroup) as error:
        causes = _causes(error)
        if not all(isinstance(cause, _TOLD) for cause in causes):
            raise
        for sentence in dict.fromkeys(map(str, causes)):
            sys.stderr.write(f"clarion: {sentence}\n")
        if not all(isinstance(cause, OperatorError | CallerError) for cause in causes):
            sys.exit(EXIT_FAILED)
    sys.exit(EXIT_OPERATOR)


def _causes(error: Exception) -> list[Exception]:
    """Return what went wrong, out of the groups in which tasks beside each other raise it."""
    if not isinstance(error, ExceptionGroup):
        return [error]
    return [cause for one in error.exceptions for cause in _causes(one)]


if __name__ == "__main__":
    main()
