"""Whether an occurrence of a schedule still happens, and from when on the next one is looked for."""

from clarion.domain.duration import duration_ms
from clarion.domain.localtime import first_ms, local_time, zone_of
from clarion.domain.occurrences import FIRST_ZONE_MS, LAST_ZONE_MS, zone_of_schedule
from clarion.domain.schedule import Schedule


def is_too_late(schedule: Schedule, due_ms: int, now_ms: int) -> bool:
    """Return whether an occurrence due then (Unix ms) is for nobody any more. With `recipient_time` that is when the last
    recipients' time is too long ago."""
    return now_ms - due_ms > _patience_ms(schedule)


def is_too_late_for_one(schedule: Schedule, own_ms: int, now_ms: int) -> bool:
    """Return whether it is for a single recipient whose own time it was then (Unix ms)."""
    return now_ms - own_ms > duration_ms(schedule.too_late)


def next_from_ms(schedule: Schedule, due_ms: int, now_ms: int) -> int:
    """Return the instant (Unix ms) after which the occurrence that follows is looked for: what would be too late anyway
    is passed over, so that a long sleep does not end in as many useless timers."""
    return max(due_ms, now_ms - _patience_ms(schedule) - 1)


def expires_ms(schedule: Schedule, due_ms: int) -> int | None:
    """Return until when (Unix ms) what an occurrence sends is of use, None for ever. With `recipient_time` that is counted
    from when the last recipients have their time."""
    if schedule.expires_after is None:
        return None
    return due_ms + (LAST_ZONE_MS if schedule.recipient_time else 0) + duration_ms(schedule.expires_after)


def recipients_clock_ms(schedule: Schedule, due_ms: int) -> int | None:
    """Return the wall-clock time (as milliseconds since 1970) at which recipients get it where they live, None when all
    get it at once."""
    return due_ms + FIRST_ZONE_MS if schedule.recipient_time else None


def at_own_time_ms(schedule: Schedule, due_ms: int, *zones: str) -> int:
    """Return when (Unix ms) it is the time of an occurrence where a recipient lives: in the first of the zones that exists."""
    return first_ms(local_time(due_ms, zone_of_schedule(schedule)), zone_of(*zones))


def _patience_ms(schedule: Schedule) -> int:
    return duration_ms(schedule.too_late) + (LAST_ZONE_MS if schedule.recipient_time else 0)
