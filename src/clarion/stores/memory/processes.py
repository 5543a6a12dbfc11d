"""The processes at work on a journal in memory, and up to which feature level they read."""

from collections.abc import Collection

from clarion.domain.feature_level import FEATURE_LEVEL
from clarion.ports.clock import Clock
from clarion.ports.feature_level import check_enrolled, check_level


class MemoryProcesses:
    """The levels of processes by name; a new journal has that of this build."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._enrolled: dict[str, tuple[int, int]] = {}
        self.level = FEATURE_LEVEL

    def enroll(self, process: str, level: int, ttl_ms: int, owners: Collection[str]) -> None:
        """Enroll a process, and raise the level to the lowest of all processes. `owners` hold leases."""
        check_enrolled(ttl_ms)
        check_level(self.level, level)
        now_ms = self._clock.monotonic_ms()
        self._enrolled = {name: row for name, row in self._enrolled.items() if row[1] > now_ms}
        self._enrolled[process] = level, now_ms + ttl_ms
        if all(owner in self._enrolled for owner in owners):
            self.level = max(self.level, min(level for level, _ in self._enrolled.values()))

    def names(self) -> frozenset[str]:
        """Return the processes that are enrolled."""
        now_ms = self._clock.monotonic_ms()
        return frozenset(name for name, row in self._enrolled.items() if row[1] > now_ms)

    def withdraw(self, process: str) -> None:
        """Forget a process."""
        self._enrolled.pop(process, None)
