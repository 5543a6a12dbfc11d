"""Writes the marks of a user's items, after the seen receipts that follow from them."""

from collections.abc import Sequence

from clarion.domain import ids
from clarion.domain.inbox import Horizon, Mark, Position
from clarion.domain.limits_processes import FRAME_RECORDS_MAX
from clarion.journal.seen_receipts import seen_result
from clarion.ports.inbox import Inbox
from clarion.ports.stage_store import StageStore


class Marking:
    """The writer of marks; the stage store receives the items that users saw for the first time."""

    def __init__(self, inbox: Inbox, store: StageStore) -> None:
        self._inbox = inbox
        self._store = store

    async def mark(self, tenant: str, user_id: str, marks: Sequence[Mark], now_ms: int) -> None:
        """Store what the user saw, then the marks: a client repeats a call that was interrupted."""
        if not marks:
            return
        seen = [mark.item_id for mark in marks if mark.seen_ms is not None]
        if seen:
            before = (await self._inbox.facts(tenant, user_id, seen)).marks
            await self.store_seen(tenant, user_id, [id_ for id_ in seen if not _was_seen(before.get(id_))], now_ms)
        await self._inbox.mark(tenant, user_id, marks)

    async def read_all(
        self, tenant: str, user_id: str, position: Position, unseen: Sequence[bytes], now_ms: int
    ) -> None:
        """Mark everything up to a position as read; `unseen` are items that the user sees with that."""
        await self.store_seen(tenant, user_id, unseen, now_ms)
        await self._inbox.read_all(tenant, user_id, Horizon(position.own, position.shared, now_ms))

    async def store_seen(self, tenant: str, user_id: str, item_ids: Sequence[bytes], now_ms: int) -> None:
        """Store that the user saw items."""
        for first in range(0, len(item_ids), FRAME_RECORDS_MAX):
            seen_ids = map(ids.notification_of, item_ids[first : first + FRAME_RECORDS_MAX])
            await self._store.commit(seen_result(tenant, user_id, seen_ids, now_ms, self._store.partitions))


def _was_seen(mark: Mark | None) -> bool:
    return mark is not None and bool(mark.seen_ms)
