"""The engines that contract suites run over, what each declares, and how a control store is opened on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from clarion.backends.memory.control import MemoryControl
from clarion.backends.memory.control_state import ControlState
from clarion.backends.memory.directory import MemoryDirectory
from clarion.backends.memory.quotas import MemoryQuotas
from clarion.backends.memory.standings import MemoryStandings
from clarion.backends.sqlite.control import SqliteControl
from clarion.backends.sqlite.directory import SqliteDirectory
from clarion.backends.sqlite.quotas import SqliteQuotas
from clarion.backends.sqlite.standings import SqliteStandings
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.secrets import Vault

SURVIVES: Final = "survives_process_kill"
SHARED: Final = "shared_by_processes"

ONCE: Final = "carries_once"
REPEATS: Final = "repeats"

TRAITS: Final[dict[str, frozenset[str]]] = {
    "memory": frozenset({ONCE}),
    "repeating": frozenset({REPEATS}),
    "sqlite": frozenset({ONCE, SURVIVES, SHARED}),
}
"""What an engine declares. A case marked `needs_trait` is left out on an engine that does not declare it."""

EVERY_PORT: Final = ("memory", "sqlite")
"""The engines that implement every port."""

Opened = tuple[Control, Any]
"""A control store and its directory, which can be closed, too."""


def memory(_folder: Path, vault: Vault, clock: Clock) -> Opened:
    state = ControlState()
    return MemoryControl(state, vault, clock), MemoryDirectory(state, vault, clock)


def sqlite(folder: Path, vault: Vault, clock: Clock) -> Opened:
    control = SqliteControl(folder, vault, clock)
    return control, SqliteDirectory(folder, vault, clock, control.changes)


CONTROLS: Final[dict[str, Callable[[Path, Vault, Clock], Opened]]] = {"memory": memory, "sqlite": sqlite}

Quotas = MemoryQuotas | SqliteQuotas
QUOTAS: Final[dict[str, Callable[[Path], Quotas]]] = {"memory": lambda _folder: MemoryQuotas(), "sqlite": SqliteQuotas}

Standings = MemoryStandings | SqliteStandings
STANDINGS: Final[dict[str, Callable[[Path], Standings]]] = {
    "memory": lambda _folder: MemoryStandings(),
    "sqlite": SqliteStandings,
}
