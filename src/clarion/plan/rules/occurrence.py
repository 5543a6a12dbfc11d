"""Whether an occurrence of a schedule still happens, until when it is of use and from when on the next one is looked for."""

from clarion.domain.duration import duration_ms
from clarion.domain.localtime import first_ms, local_time, zone_of
from clarion.domain.occurrences import FIRST_ZONE_MS, LAST_ZONE_MS, zone_of_schedule
from clarion.domain.schedule import Schedule


def last_time_ms(schedule: Schedule, due_ms: int) -> int:
    """Return when (Unix ms) an occurrence comes to its last recipients."""
    return due_ms + (LAST_ZONE_MS if schedule.local_time else 0)


def own_time_ms(schedule: Schedule, due_ms: int, *zones: str) -> int:
    """Return when (Unix ms) an occurrence comes to a recipient who lives in the first of these zones that exists."""
    return first_ms(local_time(due_ms, zone_of_schedule(schedule)), zone_of(*zones)) if schedule.local_time else due_ms


def wall_clock_ms(schedule: Schedule, due_ms: int) -> int | None:
    """Return the wall-clock time (as milliseconds since 1970) at which each recipient gets it where they live, None when
    all get it at once."""
    return due_ms + FIRST_ZONE_MS if schedule.local_time else None


def is_too_late(schedule: Schedule, last_ms: int, now_ms: int) -> bool:
    """Return whether it is too long ago (Unix ms) that an occurrence came to its last recipients."""
    return now_ms - last_ms > duration_ms(schedule.too_late)


def expires_ms(schedule: Schedule, last_ms: int) -> int | None:
    """Return until when (Unix ms) what an occurrence sends is of use, None for ever."""
    return None if schedule.expires_after is None else last_ms + duration_ms(schedule.expires_after)


def next_from_ms(schedule: Schedule, due_ms: int, now_ms: int) -> int:
    """Return the instant (Unix ms) after which the occurrence that follows is looked for. What would be too late by now is
    passed over: a long sleep does not end in as many useless timers."""
    lag_ms = last_time_ms(schedule, due_ms) - due_ms + duration_ms(schedule.too_late)
    return max(due_ms, now_ms - lag_ms - 1)
