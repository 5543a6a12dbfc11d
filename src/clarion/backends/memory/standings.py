"""Standings of accounts in memory: for one process, and the referee of the others."""

from clarion.backends.memory.versions import MemoryVersions
from clarion.domain.standing import Standing
from clarion.ports.standings import AccountName


class MemoryStandings(MemoryVersions[AccountName, Standing]):
    """Implements `ports/standings.py` for one thread."""

    def __init__(self) -> None:
        super().__init__(Standing)

    def close(self) -> None:
        """Forget nothing: there is nothing to close."""
