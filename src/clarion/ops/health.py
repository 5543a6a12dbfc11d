"""Readiness as data: each check says whether it holds and, if not, what is wrong in one sentence."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from clarion.domain.limits import DISK_FREE_BYTES_MIN


class Check(msgspec.Struct, frozen=True):
    """One thing that has to hold for this process to take work."""

    name: str
    ok: bool
    detail: str = ""


class Report(msgspec.Struct, frozen=True):
    """All checks; `ready` if every one holds."""

    ready: bool
    checks: list[Check]


def report(checks: Iterable[Check]) -> Report:
    """Return the checks with their common verdict."""
    found = list(checks)
    return Report(ready=all(check.ok for check in found), checks=found)


def disk(directory: Path) -> Check:
    """Check that the data directory exists and has room to write."""
    try:
        free = shutil.disk_usage(directory).free
    except OSError as error:
        return Check("disk", ok=False, detail=f"{directory}: {error.strerror}")
    if free < DISK_FREE_BYTES_MIN:
        return Check("disk", ok=False, detail=f"{free // 2**20} MiB free, {DISK_FREE_BYTES_MIN // 2**20} MiB needed")
    return Check("disk", ok=True)


def backlog(events: int, limit: int) -> Check:
    """Check that the journal holds no more than a bounded number of unplanned events."""
    detail = "" if events <= limit else f"{events} events wait, at most {limit} may"
    return Check("backlog", ok=events <= limit, detail=detail)
