"""The garbage collector of a long-running process."""

import gc
from typing import Final

YOUNG_OBJECTS_MAX: Final = 50_000
"""New containers after which cycles are looked for. At Python's 700 a step of planning is searched a dozen times while all of
it is still in use, which cost a quarter of planning's CPU time."""
_MIDDLE: Final = 20
_OLD: Final = 50


def tune() -> None:
    """Leave what start-up made out of collections, and look for cycles less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, _MIDDLE, _OLD)
