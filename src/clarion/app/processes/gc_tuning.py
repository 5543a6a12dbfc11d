"""The garbage collector of a long-running process."""

import gc
from typing import Final

YOUNG_OBJECTS_MAX: Final = 50_000
"""New containers after which a collection starts. At Python's 700, a step of planning was searched a dozen times while
all of it was still in use, which cost a quarter of planning's CPU time."""
_MIDDLE: Final = 20
_OLD: Final = 50


def tune() -> None:
    """Exclude the objects made at start-up from collections, and collect less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, _MIDDLE, _OLD)
