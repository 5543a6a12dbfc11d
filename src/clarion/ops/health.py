"""Readiness as data: the result of each check and, if it failed, the cause in one sentence."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from clarion.domain.limits_processes import DISK_FREE_BYTES_MIN


class HealthCheck(msgspec.Struct, frozen=True):
    """The result of one condition that this process needs to accept work."""

    name: str
    ok: bool
    detail: str = ""


class HealthReport(msgspec.Struct, frozen=True):
    """All checks; `ready` if every one passed."""

    ready: bool
    checks: list[HealthCheck]


def report(checks: Iterable[HealthCheck]) -> HealthReport:
    """Return the report of these checks."""
    found = list(checks)
    return HealthReport(ready=all(check.ok for check in found), checks=found)


def disk(directory: Path) -> HealthCheck:
    """Return the check that the data directory exists and its disk has free space."""
    try:
        free = shutil.disk_usage(directory).free
    except OSError as error:
        return HealthCheck("disk", ok=False, detail=f"{directory}: {error.strerror}")
    if free < DISK_FREE_BYTES_MIN:
        return HealthCheck(
            "disk", ok=False, detail=f"{free // 2**20} MiB free, {DISK_FREE_BYTES_MIN // 2**20} MiB needed"
        )
    return HealthCheck("disk", ok=True)


def backlog(events: int, limit: int) -> HealthCheck:
    """Return the check that the journal holds at most `limit` unplanned events."""
    detail = "" if events <= limit else f"{events} events wait, at most {limit} may"
    return HealthCheck("backlog", ok=events <= limit, detail=detail)
