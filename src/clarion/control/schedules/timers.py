"""Sets the timers of schedules.

A schedule is stored in one file and its timer in another. A process that dies in between leaves a schedule without a
timer, so the timers of all schedules are repaired periodically: setting an existing timer changes nothing.
"""

from collections.abc import AsyncIterator

import msgspec

from clarion.domain.errors import CallerError
from clarion.domain.limits import PAGE_ITEMS_MAX
from clarion.domain.occurrences import next_after
from clarion.domain.schedule import Schedule
from clarion.journal.schedules import occurrence_timer, schedule_partition
from clarion.ports.control import Control
from clarion.ports.control_definitions import DefinitionRecord
from clarion.ports.stage_store import StageResult, StageStore, Timer

_SCHEDULE = msgspec.json.Decoder(Schedule)


def next_timer(tenant: str, record: DefinitionRecord, partitions: int, now_ms: int) -> Timer | None:
    """Return the timer of a stored schedule's next occurrence after an instant (Unix ms); None when it is paused or over."""
    schedule = _SCHEDULE.decode(record.body)
    due_ms = next_after(schedule, now_ms) if schedule.enabled else None
    if due_ms is None:
        return None
    partition = schedule_partition(tenant, record.key, partitions)
    return occurrence_timer(tenant, record.key, record.version, due_ms, partition)


async def repair_timers(control: Control, store: StageStore, now_ms: int) -> int:
    """Set the timer of every schedule of every tenant and return their number. Raises as the stores do."""
    count = 0
    async for tenant in _tenants(control):
        after = ""
        while page := await control.definitions.page(tenant, Schedule.KIND, after, PAGE_ITEMS_MAX):
            after = page[-1].key
            timers = [timer for record in page if (timer := _timer(tenant, record, store.partitions, now_ms))]
            count += len(timers)
            await store.commit(StageResult(timers=timers))
    return count


def _timer(tenant: str, record: DefinitionRecord, partitions: int, now_ms: int) -> Timer | None:
    try:
        return next_timer(tenant, record, partitions, now_ms)
    except (ValueError, CallerError):
        # Only a newer build stores a schedule that this one cannot read; it must not block the other schedules.
        return None


async def _tenants(control: Control) -> AsyncIterator[str]:
    after = ""
    while page := await control.tenants.page(after, PAGE_ITEMS_MAX):
        for record in page:
            yield record.tenant
        after = page[-1].tenant
