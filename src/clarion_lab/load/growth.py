"""Counts the lines of a file that another process appends to, by reading only the new part."""

from pathlib import Path
from typing import Final

PIECE_BYTES: Final = 1 << 20


class LineCount:
    """Counts the lines of a growing file; each `read` reads only the bytes appended since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._lines = 0

    def read(self) -> int:
        """Return the number of complete lines so far, 0 while there is no file."""
        try:
            with self._path.open("rb", buffering=0) as file:
                file.seek(self._offset)
                while piece := file.read(PIECE_BYTES):
                    self._offset += len(piece)
                    self._lines += piece.count(b"\n")
        except FileNotFoundError:
            return 0
        return self._lines
