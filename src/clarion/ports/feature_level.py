"""Which builds are at work on a store: a new kind of frame, stream or row is written only once every process reads it.

Every process says when it starts, and again from time to time, up to which level (`domain.feature_level`) it reads. The level of
the store is the lowest of them, and 0 while a lease is held by a process that says nothing, as 0.1.0 does. It never falls: a
build below it is refused when it starts. So a level that was read remains true, and a step may ask for it without a read.
"""

from typing import Protocol

from clarion.domain.errors import OperatorError
from clarion.domain.limits_processes import ENROLLED_MS


class FeatureLevels(Protocol):
    """The levels of the processes at work on a store. `process` names one start of a process, as `Lease.owner` does."""

    def feature_level(self) -> int:
        """Return the level up to which every process reads, as this process last read it. No I/O."""
        ...

    async def enroll(self, process: str, level: int, ttl_ms: int) -> int:
        """Say that a process is at work and reads up to a level; it counts for `ttl_ms`, or until it enrolls again. Return the
        level of the store. Raises `OperatorError` for a level below that of the store."""
        ...

    async def withdraw(self, process: str) -> None:
        """Say that a process has ended."""
        ...


def check_enrolled(ttl_ms: int) -> None:
    """Raise `ValueError` for a time to enroll for that is out of bounds."""
    if not 0 < ttl_ms <= ENROLLED_MS:
        raise ValueError(f"a process is enrolled for 1 to {ENROLLED_MS} ms, not {ttl_ms}")


def check_level(stored: int, level: int) -> int:
    """Return the level of a store. Raises `OperatorError` for a process that reads less."""
    if stored > level:
        raise OperatorError(
            f"The store was written by a newer build of Clarion (its feature level is {stored}, and this build reads up to"
            f" {level}): start that build or a newer one."
        )
    return stored
