"""Cells of one partition as a planning step sees them: its own writes over the stored values."""

from clarion.plan.wait_facts import WaitFacts
from clarion.ports.journal_cells import Cell


class Cells:
    """Stored cells, and the writes of one step over them."""

    def __init__(self, facts: WaitFacts) -> None:
        self._facts = facts
        self._written: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        """Return the value under a key. Raises `MissingFacts`."""
        return self._written[key] if key in self._written else self._facts.cell(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a value; None removes it."""
        self._written[key] = value

    def under(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """Return all (key, value) with keys that begin with a prefix, in order. Raises `MissingFacts`."""
        found: dict[bytes, bytes | None] = dict(self._facts.cells_under(prefix))
        found.update({key: value for key, value in self._written.items() if key.startswith(prefix)})
        return [(key, value) for key, value in sorted(found.items()) if value is not None]

    def writes(self) -> list[Cell]:
        """Return the writes for the step's commit, without cells that were added and removed within the step."""
        return [
            Cell(self._facts.partition, key, value)
            for key, value in self._written.items()
            if value is not None or not self._facts.is_free(key)
        ]
