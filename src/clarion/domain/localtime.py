"""Wall clocks: conversion between instants and local times of a zone.

A time that a clock change skips means the first instant after the gap, one that occurs twice means the first of both:
an event set for a local time happens once, and never before the clock has shown that time.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from clarion.domain.errors import InvalidField
from clarion.domain.limits_processes import ZONES_MAX

_SECOND_MS: Final = 1_000
_CLOCK: Final = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")


def check_clock(text: str, field: str) -> str:
    """Return a time of day. Raises `InvalidField` when it is not one from `00:00` to `23:59`."""
    if not _CLOCK.fullmatch(text):
        raise InvalidField("must be a time from 00:00 to 23:59", field=field)
    return text


def check_days(days: Iterable[int], field: str) -> tuple[int, ...]:
    """Return ISO weekdays in order, each once. Raises `InvalidField` for a number outside 1 (Monday) to 7."""
    found = tuple(sorted(set(days)))
    if found and not 1 <= found[0] <= found[-1] <= 7:
        raise InvalidField("must be weekdays from 1 (Monday) to 7 (Sunday)", field=field)
    return found


@lru_cache(maxsize=ZONES_MAX)
def zone_of(*names: str) -> ZoneInfo:
    """Return the first of these IANA zones that exists, UTC when none does."""
    for name in names:
        try:
            return ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            # An empty name, or a zone that was removed from the tz data since it was stored.
            continue
    return ZoneInfo("UTC")


def local_time(at_ms: int, zone: ZoneInfo) -> datetime:
    """Return the local time at an instant (Unix ms), without its zone."""
    return datetime.fromtimestamp(at_ms / _SECOND_MS, zone).replace(tzinfo=None, fold=0)


def first_ms(wall: datetime, zone: ZoneInfo) -> int:
    """Return the first instant (Unix ms) at which a clock of the zone shows `wall` (without zone) or, when it never does, a
    later time."""
    at_s = _timestamp_s(wall, zone, 0)
    if _shown(at_s, zone) == wall:
        return at_s * _SECOND_MS
    # A gap: by the offset before it, `wall` lies after the change; by the offset after it, before the change.
    before_s, after_s = _timestamp_s(wall, zone, 1), at_s
    while after_s - before_s > 1:
        middle_s = (before_s + after_s) // 2
        if _shown(middle_s, zone) < wall:
            before_s = middle_s
        else:
            after_s = middle_s
    return after_s * _SECOND_MS


def _timestamp_s(wall: datetime, zone: ZoneInfo, fold: int) -> int:
    return int(wall.replace(tzinfo=zone, fold=fold).timestamp())


def _shown(at_s: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(at_s, UTC).astimezone(zone).replace(tzinfo=None, fold=0)
