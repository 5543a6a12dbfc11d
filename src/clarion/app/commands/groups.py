"""Command groups that refuse the old names of their commands and name the new ones."""

from typing import Any

import typer.core

from clarion.domain.errors import OperatorError
from clarion.domain.renamed import COMMANDS


class CommandGroup(typer.core.TyperGroup):
    """A group of commands, such as `clarion providers`. Raises `OperatorError` for an old name of a command."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a name, or None when there is none. Raises `OperatorError` for an old name."""
        refuse_renamed(f"{self.name} {cmd_name}")
        return super().get_command(ctx, cmd_name)


def refuse_renamed(command: str) -> None:
    """Raise `OperatorError` with the new name of a command that has one."""
    if command in COMMANDS:
        raise OperatorError(f"'clarion {command}' is now called 'clarion {COMMANDS[command]}'.")
