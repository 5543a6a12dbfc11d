"""What holds the stores of a chaos run: files, or a PostgreSQL server that the run breaks, too."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import psutil

from clarion_lab.chaos.rows import Stores, of_file

COMMIT_BYTES: Final = 4_096
"""The bytes written to files by which a process has committed something."""
WRITE_S: Final = 0.5
"""Seconds to wait for a victim's next write."""
_POLL_S: Final = 0.0002


class Engine(Protocol):
    """The engine below the stores of a run."""

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the settings by which the product uses it."""
        ...

    @property
    def victims(self) -> Mapping[str, int]:
        """Return what of it can be broken, and its weights among the victims of a run."""
        ...

    @property
    def figures(self) -> Mapping[str, int]:
        """Return what was really broken, for the last line."""
        ...

    def has_written(self, process: psutil.Process) -> bool:
        """Return whether a process of the product has written to a store since its start."""
        ...

    def await_write(self, process: psutil.Process) -> None:
        """Return as soon as a process writes something, or after `WRITE_S`."""
        ...

    def strike(self, victim: str, pick: float) -> bool:
        """Break one of `victims`; `pick` (0 to 1) chooses how. Return whether it was at work."""
        ...

    def stores(self, data: Path) -> Stores:
        """Return the stores of an installation that has stopped."""
        ...

    def stop(self, keep: Path | None) -> None:
        """End it. What it holds goes to the folder to keep, or is deleted without one."""
        ...


class Files:
    """SQLite files in the data folder: nothing of theirs can die but the processes themselves."""

    environment: Final[Mapping[str, str]] = {}
    victims: Final[Mapping[str, int]] = {}
    figures: Final[Mapping[str, int]] = Counter()

    def has_written(self, process: psutil.Process) -> bool:
        """Return whether a process has written at least a commit to files."""
        return _written_bytes(process) >= COMMIT_BYTES

    def await_write(self, process: psutil.Process) -> None:
        """Return as soon as a process writes something, or after `WRITE_S`."""
        before, until = _written_bytes(process), time.monotonic() + WRITE_S
        while _written_bytes(process) == before and time.monotonic() < until:
            time.sleep(_POLL_S)

    def strike(self, victim: str, pick: float) -> bool:
        """Raise `LookupError`: there are no victims."""
        raise LookupError(victim)

    def stores(self, data: Path) -> Stores:
        """Return the stores in a data folder."""
        return Stores(of_file(data / "state.db"), of_file(data / "journal.db"))

    def stop(self, keep: Path | None) -> None:
        """Do nothing: the files are the run's."""


def _written_bytes(process: psutil.Process) -> int:
    """Return the bytes a process has written since its start; when the system does not report them, those of a
    commit."""
    counters = getattr(process, "io_counters", None)
    return COMMIT_BYTES if counters is None else int(counters().write_chars)
