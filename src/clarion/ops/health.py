"""Readiness as data: the result of each check and, if it failed, the cause in one sentence."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from clarion.domain.limits_processes import DISK_FREE_BYTES_MIN
from clarion.domain.times import Time


class HealthCheck(msgspec.Struct, frozen=True):
    """The result of one condition that this process needs to accept work."""

    name: str
    ok: bool
    detail: str = ""


class MissingRole(msgspec.Struct, frozen=True):
    """A role that nobody does on any machine: a stage, a channel of delivery or the scheduler. What is for it waits."""

    role: str
    since: Time
    """When this process saw that first."""


class HealthReport(msgspec.Struct, frozen=True):
    """All checks; `ready` if every one passed. A missing role changes nothing about that: what is accepted waits for it."""

    ready: bool
    checks: list[HealthCheck]
    missing: list[MissingRole] = []


def report(checks: Iterable[HealthCheck], missing: Iterable[MissingRole] = ()) -> HealthReport:
    """Return the report of these checks."""
    found = list(checks)
    return HealthReport(ready=all(check.ok for check in found), checks=found, missing=list(missing))


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
