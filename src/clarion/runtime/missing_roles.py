"""Which roles nobody does: an API process looks from time to time who is at work on the store, on every machine.

A role is a group of the journal (a stage, or a channel of delivery) of which no lease is held, or the scheduler, which holds none
and is known by its enrollment.
"""

from collections.abc import Callable
from typing import Final

from clarion.domain.limits_processes import ROLE_MISSING_MS
from clarion.journal.topics import GROUP_BROADCAST, GROUP_TOPICS
from clarion.ports.clock import Clock
from clarion.ports.stage_store import AtWork, StageStore
from clarion.ports.telemetry import Telemetry

SCHEDULER: Final = "scheduler"
ROLES: Final = (*GROUP_TOPICS, GROUP_BROADCAST, SCHEDULER)


class MissingRoles:
    """The roles that nobody has done for `ROLE_MISSING_MS`. Each is one line of the log when it goes, and one when it is back."""

    def __init__(
        self, store: StageStore, clock: Clock, telemetry: Telemetry, on_change: Callable[[str, bool], None]
    ) -> None:
        """`on_change` is told of each role, whether it is missing, at the first look and whenever that changes."""
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._on_change = on_change
        self._unseen_ms: dict[str, tuple[int, int]] = {}
        """Since when a role was not seen: on the monotonic clock, and on the wall clock."""
        self._told: dict[str, bool] = {}

    def since(self) -> dict[str, int]:
        """Return the roles that are missing, and since when, in Unix milliseconds."""
        return {role: self._unseen_ms[role][1] for role, is_missing in self._told.items() if is_missing}

    async def look(self) -> None:
        """Look who is at work. Raises `StoreUnavailable`."""
        absent = absent_roles(await self._store.at_work())
        now_ms = self._clock.monotonic_ms()
        for role in ROLES:
            if role in absent:
                since_ms, _ = self._unseen_ms.setdefault(role, (now_ms, self._clock.now_ms()))
                self._tell(role, is_missing=now_ms - since_ms >= ROLE_MISSING_MS)
            else:
                self._tell(role, is_missing=False)
                self._unseen_ms.pop(role, None)

    def _tell(self, role: str, *, is_missing: bool) -> None:
        before = self._told.get(role)
        if before == is_missing:
            return
        self._told[role] = is_missing
        self._on_change(role, is_missing)
        if is_missing:
            self._telemetry.log(
                "warning", "role_missing", role=role, reason="nobody does it on any machine; its work waits"
            )
        elif before:
            missed_ms = self._clock.monotonic_ms() - self._unseen_ms[role][0]
            self._telemetry.log("info", "role_back", role=role, missed_s=missed_ms // 1000)


def absent_roles(at_work: AtWork) -> set[str]:
    """Return the roles that nobody does. The owner of an enrollment is named after its role."""
    has_scheduler = any(process.startswith(f"{SCHEDULER}-") for process in at_work.processes)
    return set(ROLES) - at_work.groups - ({SCHEDULER} if has_scheduler else set())
