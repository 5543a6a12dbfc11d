"""Standings of accounts in memory: for one process, and the referee of the others."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from clarion.domain.standing import Standing
from clarion.ports.standings import AccountName

T = TypeVar("T")


class MemoryStandings:
    """Implements `ports/standings.py` for one thread."""

    def __init__(self) -> None:
        self._standings: dict[AccountName, Standing] = {}

    def change(
        self, names: Sequence[AccountName], decide: Callable[[list[Standing]], tuple[Sequence[Standing], T]]
    ) -> T:
        """Read standings, store what `decide` makes of them, and return what it returns beside that."""
        standings, answer = decide(self.read(names))
        self._standings |= dict(zip(names, standings, strict=True))
        return answer

    def read(self, names: Sequence[AccountName]) -> list[Standing]:
        """Return standings without changing them."""
        return [self._standings.get(name, Standing()) for name in names]

    def close(self) -> None:
        """Forget nothing: there is nothing to close."""
