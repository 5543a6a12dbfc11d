"""Rows of the inbox as values: own items, and the broadcasts' chunks in which a user is found."""

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from clarion.domain.ids import delivery_id
from clarion.domain.inbox import SHOWN, Item, ItemPlace, arrival_of, broadcast_item
from clarion.stores.sqlite.connection import fetch_all
from clarion.stores.sqlite.state_places import INAPP

_UNPACK: Final = msgspec.msgpack.decode

EPOCH: Final = "SELECT epoch FROM inbox_epochs"
SHARED: Final = "SELECT coalesce((SELECT shared_seq FROM inbox_tenants WHERE tenant = ?), 0)"
HEAD: Final = """SELECT (SELECT epoch FROM inbox_epochs),
    coalesce((SELECT own_seq FROM inbox_users WHERE tenant = ?1 AND user_id = ?2), 0),
    coalesce((SELECT shared_seq FROM inbox_tenants WHERE tenant = ?1), 0)"""
HORIZON: Final = "SELECT own_seq, shared_seq, at_ms, seq FROM inbox_horizons WHERE tenant = ? AND user_id = ?"
ITEM_COLUMNS: Final = "item_id, created_ms, content, shared_seq, own_seq, category, expires_ms, collapse_key"
MARK_COLUMNS: Final = "item_id, seen_ms, read_ms, archived_ms, snoozed_ms, deleted_ms, read_seq"
WITHDRAWN: Final = "SELECT notification_id FROM inbox_withdrawals WHERE tenant = ? AND notification_id = ?"
_CHUNKS: Final = """SELECT chunk_id, seq FROM chunk_spans WHERE tenant = ? AND broadcast_id = ? AND channel = 'inapp'
    AND min_ordinal BETWEEN ? AND ? AND max_ordinal >= ?"""
_CHUNK_ORDINALS: Final = "SELECT ordinals FROM chunks WHERE chunk_id = ? AND tenant = ?"
_BODY: Final = """SELECT planned_ms, category, expires_ms, states, content, addresses, users FROM chunks
    JOIN chunk_states USING (chunk_id, tenant) WHERE chunk_id = ? AND tenant = ?"""
_ARRIVALS: Final = "SELECT seq, at_ms, members FROM chunk_arrivals WHERE chunk_id = ? AND tenant = ?"


def item_of(row: Sequence[Any]) -> Item:
    """Return the item of a row of `ITEM_COLUMNS`."""
    item_id, created_ms, content, shared, own, category, expires_ms, collapse_key = row
    return Item(item_id, created_ms, content, ItemPlace(shared, own), category, expires_ms, collapse_key)


class Chunks:
    """The chunks of broadcasts as one call reads them, each once."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._ordinals: dict[bytes, array[int]] = {}
        self._bodies: dict[bytes, tuple[Any, ...]] = {}

    def find(self, tenant: str, user_id: str, ordinal: int, broadcast_id: bytes, widest: int) -> Item | None:
        """Return a broadcast's in-app delivery to one user, or None when there is none or it was not sent."""
        spans = fetch_all(self._db, _CHUNKS, (tenant, broadcast_id, ordinal - widest, ordinal, ordinal))
        for chunk_id, seq in spans:
            ordinals = self._ordinals.get(chunk_id)
            if ordinals is None:
                ordinals = array("Q", fetch_all(self._db, _CHUNK_ORDINALS, (chunk_id, tenant))[0][0])
                self._ordinals[chunk_id] = ordinals
            index = bisect_left(ordinals, ordinal)
            if index < len(ordinals) and ordinals[index] == ordinal:
                return _shown(self._body(tenant, chunk_id), index, user_id, broadcast_id, seq)
        return None

    def _body(self, tenant: str, chunk_id: bytes) -> tuple[Any, ...]:
        body = self._bodies.get(chunk_id)
        if body is None:
            *facts, content, addresses, users = fetch_all(self._db, _BODY, (chunk_id, tenant))[0]
            columns = (_UNPACK(column) if column else None for column in (content, addresses, users))
            later = fetch_all(self._db, _ARRIVALS, (chunk_id, tenant))
            body = self._bodies[chunk_id] = (*facts, *columns, later)
        return body


def _shown(body: tuple[Any, ...], index: int, user_id: str, broadcast_id: bytes, seq: int) -> Item | None:
    planned_ms, category, expires_ms, states, content, addresses, users, later = body
    if states[index] not in SHOWN:
        return None
    seq, at_ms = arrival_of(index, (seq, planned_ms), later)
    id_ = delivery_id(broadcast_id, user_id, INAPP, addresses[index] if addresses else "")
    return broadcast_item(id_, at_ms, users[index] if users else content, seq, category, expires_ms)
