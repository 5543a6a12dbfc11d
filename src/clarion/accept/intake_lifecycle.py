"""Lifecycle of accepted requests: broadcasts are paused, resumed and cancelled, notifications cancelled."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from clarion.accept.cancellations import Subject, cancellation, cancellation_by_key
from clarion.domain import ids
from clarion.domain.errors import Conflict, NotFound
from clarion.domain.limits import CANCELLATIONS_PER_CALL_MAX
from clarion.domain.limits_processes import CANCELLATIONS_PER_APPEND_MAX
from clarion.journal.signals import cancel_key
from clarion.ports.clock import Clock
from clarion.ports.journal_cells import Wait
from clarion.ports.stage_store import Cursor, StageStore

Known = Callable[[str, bytes], Awaitable[bool]]
"""Returns whether a tenant has a notification."""


class CancelResult(NamedTuple):
    """The number of durably cancelled notifications, and whether more carry the key."""

    notifications: int
    more: bool


class Lifecycle:
    """Pauses, resumes and cancels accepted requests on behalf of the tenant that owns them."""

    def __init__(self, store: StageStore, clock: Clock, known: Known) -> None:
        self._store = store
        self._clock = clock
        self._known = known

    async def cancel(self, tenant: str, text: str) -> None:
        """Cancel a notification by its id. Raises `NotFound`."""
        id_ = ids.read(ids.NOTIFICATION_PREFIX, text)
        if id_ is None or not await self._known(tenant, id_):
            raise NotFound(f"unknown notification {text!r}", field="id")
        await self._cancel(tenant, Subject(id_, ids.partition_of(id_, self._store.partitions)))

    async def cancel_by_key(self, tenant: str, text: str) -> CancelResult:
        """Cancel the notifications that carry a cancellation key, a batch at a time, until `CANCELLATIONS_PER_CALL_MAX`
        are cancelled."""
        key = cancel_key(text)
        cancelled = 0
        while waits := await self._waiting(tenant, key):
            if cancelled >= CANCELLATIONS_PER_CALL_MAX:
                break
            await self._store.commit(cancellation_by_key(tenant, key, waits, self._clock.now_ms()))
            cancelled += len(waits)
        return CancelResult(cancelled, bool(waits))

    async def _waiting(self, tenant: str, key: bytes) -> list[Wait]:
        place = tenant, key
        return (await self._store.waits_of([place], CANCELLATIONS_PER_APPEND_MAX)).get(place, [])

    async def pause(self, tenant: str, text: str) -> str:
        """Stop a broadcast's planning and return its status. Raises `NotFound`, and `Conflict` when it has ended."""
        return await self._set_status(await self._cursor(tenant, text), "paused", ("running", "paused"))

    async def resume(self, tenant: str, text: str) -> str:
        """Resume a paused broadcast and return its status. Raises as `pause` does."""
        return await self._set_status(await self._cursor(tenant, text), "running", ("paused", "running"))

    async def cancel_broadcast(self, tenant: str, text: str) -> str:
        """Stop a broadcast's planning for good, cancel its deliveries that are not being sent yet, and return its
        status. Raises as `pause` does."""
        cursor = await self._cursor(tenant, text)
        status = await self._set_status(cursor, "cancelled", ("running", "paused", "done", "cancelled"))
        await self._cancel(tenant, Subject(cursor.cursor_id, cursor.partition))
        return status

    async def _set_status(self, cursor: Cursor, status: str, allowed_from: tuple[str, ...]) -> str:
        now_ms = self._clock.now_ms()
        if not await self._store.set_cursor_status(cursor.cursor_id, status, allowed_from, now_ms):
            now = (await self._store.cursors_by_id([cursor.cursor_id])).get(cursor.cursor_id, cursor)
            raise Conflict(f"broadcast is {now.status}", code="broadcast_state")
        return status

    async def _cancel(self, tenant: str, subject: Subject) -> None:
        await self._store.commit(cancellation(tenant, [subject], self._clock.now_ms()))

    async def _cursor(self, tenant: str, text: str) -> Cursor:
        id_ = ids.read(ids.BROADCAST_PREFIX, text)
        cursor = (await self._store.cursors_by_id([id_])).get(id_) if id_ else None
        if cursor is None or cursor.tenant != tenant:
            raise NotFound(f"unknown broadcast {text!r}", field="id")
        return cursor
