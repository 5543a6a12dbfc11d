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
from clarion.ports.documents import Document
from clarion.ports.stage_store import StageResult, StageStore, Timer
from clarion.resources.reads import every

_SCHEDULE = msgspec.json.Decoder(Schedule)


def next_timer(document: Document, partitions: int, now_ms: int) -> Timer | None:
    """Return the timer of a stored schedule's next occurrence after an instant (Unix ms); None when it is paused or over."""
    schedule, (tenant, _, name) = _SCHEDULE.decode(document.body), document.key
    due_ms = next_after(schedule, now_ms) if schedule.enabled else None
    if due_ms is None:
        return None
    partition = schedule_partition(tenant, name, partitions)
    return occurrence_timer(tenant, name, document.version, due_ms, partition)


async def repair_timers(control: Control, store: StageStore, now_ms: int) -> int:
    """Set the timer of every schedule of every tenant and return their number. Raises as the stores do."""
    count = 0
    async for tenant in _tenants(control):
        async for page in every(control.documents, tenant, Schedule.KIND):
            timers = [timer for document in page if (timer := _timer(document, store.partitions, now_ms))]
            if timers:
                await store.commit(StageResult(timers=timers))
            count += len(timers)
    return count


def _timer(document: Document, partitions: int, now_ms: int) -> Timer | None:
    try:
        return next_timer(document, partitions, now_ms)
    except (ValueError, CallerError):
        # Only a newer build stores a schedule that this one cannot read; it must not block the other schedules.
        return None


async def _tenants(control: Control) -> AsyncIterator[str]:
    after = ""
    while page := await control.tenants.page(after, PAGE_ITEMS_MAX):
        for record in page:
            yield record.tenant
        after = page[-1].tenant
