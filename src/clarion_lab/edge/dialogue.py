"""What the programs of a run say to the process that started them: lines on their standard output."""

import sys
from typing import Final

READY: Final = "ready"
"""The first line of a program: it is prepared."""


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
