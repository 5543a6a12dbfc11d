"""The inbox in memory: a user's own items, the broadcasts sent to the user, and the user's marks."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from itertools import islice
from typing import Final

import msgspec

from clarion.domain.delivery_state import State
from clarion.domain.history import Chunk, ChunkState, InboxItem
from clarion.domain.ids import NOTIFICATION_ID_BYTES, delivery_id, notification_of
from clarion.ports.inbox import Broadcast, Horizon, Mark
from clarion.stores.memory.state_tables import END, Rows, Tables

_CHANNEL: Final = "inapp"
_TOP: Final = b"\xff" * 24
_SHOWN: Final = frozenset({State.SENT, State.DELIVERED})
_UNPACK: Final = msgspec.msgpack.decode


class MemoryInbox:
    """Implements `ports.inbox.Inbox`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def items(self, tenant: str, user_id: str, before: bytes | None, limit: int) -> list[InboxItem]:
        """Return the user's own items with ids below `before`, newest first."""
        rows = self._tables.items.get((tenant, user_id)) or Rows[InboxItem]()
        return [row for _, row in islice(rows.newest(before), limit)]

    async def broadcasts(
        self, tenant: str, user_id: str, ordinal: int, before: bytes | None, limit: int
    ) -> tuple[list[Broadcast], bytes | None]:
        """Examine the next `limit` in-app broadcasts whose range holds the ordinal. Return those sent to the user,
        newest first, and the id of the last one examined when there are more."""
        top = (before or _TOP)[:NOTIFICATION_ID_BYTES]
        spans = self._tables.spans.get(tenant)
        newest = [] if spans is None else spans.newest(top + b"\x00")  # includes the topmost one itself
        ranges = (id_ for id_, span in newest if span.low <= ordinal <= span.high)
        scanned = list(islice(ranges, limit))
        found = [self._find(tenant, user_id, ordinal, id_) for id_ in scanned]
        held = [item for item in found if item is not None and (before is None or item.item_id < before)]
        return held, scanned[-1] if len(scanned) == limit else None

    async def item(self, tenant: str, user_id: str, ordinal: int | None, item_id: bytes) -> bool:
        """Return whether the user has that item, be it a single notification or a broadcast."""
        own = self._tables.items.get((tenant, user_id))
        if own is not None and own.get(item_id) is not None:
            return True
        if ordinal is None:
            return False
        found = self._find(tenant, user_id, ordinal, notification_of(item_id))
        return found is not None and found.item_id == item_id

    async def marks(self, tenant: str, user_id: str, item_ids: Sequence[bytes]) -> dict[bytes, Mark]:
        """Return the user's marks on those items, by item id."""
        marks = {item_id: self._tables.marks.get((tenant, user_id, item_id)) for item_id in item_ids}
        return {item_id: mark for item_id, mark in marks.items() if mark is not None}

    async def horizon(self, tenant: str, user_id: str) -> Horizon | None:
        """Return the item and time up to which the user has read everything, or None."""
        return self._tables.horizons.get((tenant, user_id))

    async def mark(self, tenant: str, user_id: str, mark: Mark) -> None:
        """Set the fields of a mark that are not None; the first time of seeing or reading an item is not
        overwritten."""
        key = (tenant, user_id, mark.item_id)
        before = self._tables.marks.get(key) or Mark(mark.item_id)
        self._tables.marks[key] = Mark(
            mark.item_id,
            before.seen_ms or _given(mark.seen_ms, before.seen_ms),
            _undone(before.read_ms, mark.read_ms),
            _undone(before.archived_ms, mark.archived_ms),
        )

    async def read_all(self, tenant: str, user_id: str, horizon: Horizon) -> None:
        """Move the horizon up; unread marks of items below it are dropped."""
        before = self._tables.horizons.get((tenant, user_id))
        if before is None or before.item_id < horizon.item_id:
            self._tables.horizons[tenant, user_id] = horizon
        for key, mark in self._tables.marks.items():
            if key[:2] == (tenant, user_id) and mark.item_id <= horizon.item_id and mark.read_ms == 0:
                self._tables.marks[key] = msgspec.structs.replace(mark, read_ms=None)

    def _find(self, tenant: str, user_id: str, ordinal: int, broadcast_id: bytes) -> Broadcast | None:
        """Return a broadcast's in-app delivery to one user, or None when there is none or it was not sent."""
        for chunk in self._tables.chunks.between(broadcast_id, broadcast_id + END):
            if (chunk.tenant, chunk.channel) != (tenant, _CHANNEL) or not (
                chunk.min_ordinal <= ordinal <= chunk.max_ordinal
            ):
                continue
            ordinals = array("Q", chunk.ordinals)
            index = bisect_left(ordinals, ordinal)
            if index < len(ordinals) and ordinals[index] == ordinal:
                return _shown(chunk, self._tables.chunk_states[chunk.chunk_id], index, user_id, broadcast_id)
        return None


def _shown(chunk: Chunk, state: ChunkState, index: int, user_id: str, broadcast_id: bytes) -> Broadcast | None:
    if state.states[index] not in _SHOWN:
        return None
    address = _UNPACK(chunk.addresses)[index] if chunk.addresses else ""
    content = _UNPACK(chunk.users)[index] if chunk.users else _UNPACK(chunk.content)
    return Broadcast(delivery_id(broadcast_id, user_id, _CHANNEL, address), chunk.planned_ms, content)


def _given(new_ms: int | None, before_ms: int | None) -> int | None:
    return before_ms if new_ms is None else new_ms


def _undone(before_ms: int | None, new_ms: int | None) -> int | None:
    """Return the time after a mark: the first time stays until a 0 clears it."""
    return _given(new_ms, before_ms) if not before_ms or new_ms == 0 else before_ms
