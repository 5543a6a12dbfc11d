"""Cells of one partition as a step of planning sees them: what it wrote itself, over what is stored."""

from collections.abc import Iterable
from typing import Final

from clarion.ports.journal import Cell, Journal

_PAGE: Final = 500


class Cells:
    """Reads through to the journal and keeps writes until the step's append."""

    def __init__(self, journal: Journal, partition: int) -> None:
        self._journal = journal
        self._partition = partition
        self._read: dict[bytes, bytes | None] = {}
        self._written: dict[bytes, bytes | None] = {}

    def load(self, keys: Iterable[bytes]) -> None:
        """Read cells that will be asked for, in one query."""
        missing = [key for key in dict.fromkeys(keys) if key not in self._read]
        if missing:
            found = self._journal.cells(self._partition, missing)
            self._read.update({key: found.get(key) for key in missing})

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a key."""
        if key in self._written:
            return self._written[key]
        self.load((key,))
        return self._read[key]

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a value, or remove it with None."""
        self._written[key] = value

    def under(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Return all (key, value) with keys that begin with a prefix, in order."""
        found: dict[bytes, bytes | None] = {}
        after = b""
        while page := self._journal.cells_under(self._partition, prefix, _PAGE, after):
            found.update(page)
            after = page[-1][0]
            if len(page) < _PAGE:
                break
        found.update({key: value for key, value in self._written.items() if key.startswith(prefix)})
        return [(key, value) for key, value in sorted(found.items()) if value is not None]

    def writes(self) -> list[Cell]:
        """Return what has to be written with the step's append; what came and went within it is left out."""
        return [
            Cell(self._partition, key, value)
            for key, value in self._written.items()
            if value is not None or key not in self._read or self._read[key] is not None
        ]
