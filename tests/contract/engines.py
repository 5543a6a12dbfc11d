"""The engines that contract suites run over, what each declares, and how a control store is opened on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from clarion.backends.memory.control import MemoryControl
from clarion.backends.memory.control_state import ControlState
from clarion.backends.memory.directory import MemoryDirectory
from clarion.backends.sqlite.control import SqliteControl
from clarion.backends.sqlite.directory import SqliteDirectory
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.secrets import Vault

SURVIVES: Final = "survives_process_kill"
SHARED: Final = "shared_by_processes"

REPEATS: Final = "repeats"

TRAITS: Final[dict[str, frozenset[str]]] = {
    "memory": frozenset(),
    "repeating": frozenset({REPEATS}),
    "sqlite": frozenset({SURVIVES, SHARED}),
}
"""What an engine declares. A case marked `needs_trait` is left out on an engine that does not declare it."""

Opened = tuple[Control, Any]
"""A control store and its directory, which can be closed, too."""


def memory(_folder: Path, vault: Vault, clock: Clock) -> Opened:
    state = ControlState()
    return MemoryControl(state, vault, clock), MemoryDirectory(state, vault, clock)


def sqlite(folder: Path, vault: Vault, clock: Clock) -> Opened:
    control = SqliteControl(folder, vault, clock)
    return control, SqliteDirectory(folder, vault, clock, control.changes)


CONTROLS: Final[dict[str, Callable[[Path, Vault, Clock], Opened]]] = {"memory": memory, "sqlite": sqlite}
