"""Times of a schedule's occurrence: when it is due, too late and expired, and the start of the search for the next
one."""

from clarion.domain.duration import duration_ms
from clarion.domain.localtime import first_ms, local_time, zone_of
from clarion.domain.occurrences import FIRST_ZONE_MS, LAST_ZONE_MS, zone_of_schedule
from clarion.domain.schedule import Schedule


def last_time_ms(schedule: Schedule, due_ms: int) -> int:
    """Return when (Unix ms) an occurrence is due for its last recipients."""
    return due_ms + (LAST_ZONE_MS if schedule.local_time else 0)


def own_time_ms(schedule: Schedule, due_ms: int, *zones: str) -> int:
    """Return when (Unix ms) an occurrence is due for a recipient in the first of these zones that exists."""
    return first_ms(local_time(due_ms, zone_of_schedule(schedule)), zone_of(*zones)) if schedule.local_time else due_ms


def wall_clock_ms(schedule: Schedule, due_ms: int) -> int | None:
    """Return the wall-clock time (as milliseconds since 1970) at which an occurrence is due in each recipient's zone,
    None when it is due for all at once."""
    return due_ms + FIRST_ZONE_MS if schedule.local_time else None


def is_too_late(schedule: Schedule, last_ms: int, now_ms: int) -> bool:
    """Return whether an occurrence was due for its last recipients (`last_ms`, Unix ms) longer ago than the schedule
    allows."""
    return now_ms - last_ms > duration_ms(schedule.too_late)


def expires_ms(schedule: Schedule, last_ms: int) -> int | None:
    """Return when (Unix ms) the notifications of an occurrence expire, None for never."""
    return None if schedule.expires_after is None else last_ms + duration_ms(schedule.expires_after)


def next_from_ms(schedule: Schedule, due_ms: int, now_ms: int) -> int:
    """Return the instant (Unix ms) after which to search for the next occurrence. Occurrences that are too late by now
    are skipped, so that a long downtime does not end in many useless timers."""
    lag_ms = last_time_ms(schedule, due_ms) - due_ms + duration_ms(schedule.too_late)
    return max(due_ms, now_ms - lag_ms - 1)
