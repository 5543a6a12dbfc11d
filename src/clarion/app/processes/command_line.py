"""The command line that `ps` shows for this process. Without it, a copied process shows that of the process copied."""

import ctypes
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

_STAT: Final = Path("/proc/self/stat")
_ARG_START: Final = 45
_ARG_END: Final = 46
"""Fields of `_STAT` after the name of the process, see proc(5)."""


def show(choices: Iterable[Sequence[str]]) -> bool:
    """Overwrite the command line of this process with the first of `choices` that fits. Return whether one did. Only
    Linux lets a process do so."""
    if sys.platform != "linux":
        return False
    start, end = _place()
    for words in choices:
        line = b"".join(word.encode() + b"\0" for word in words)
        if len(line) <= end - start:
            ctypes.memmove(start, line.ljust(end - start, b"\0"), end - start)
            return True
    return False


def _place() -> tuple[int, int]:
    """Return the start and end address of the arguments in memory; (0, 0) when the system does not report them."""
    try:
        fields = _STAT.read_text().rpartition(")")[2].split()
        return int(fields[_ARG_START]), int(fields[_ARG_END])
    except (OSError, IndexError, ValueError):
        return 0, 0
