"""Rows of the inbox as values: own items, and the broadcasts' chunks in which a user is found."""

from hashlib import blake2b
from typing import Any, Final

import msgspec

from clarion.domain.ids import delivery_id
from clarion.domain.inbox import SHOWN, Item, ItemPlace, arrival_of, broadcast_item

_CHANNEL: Final = "inapp"
_UNPACK: Final = msgspec.msgpack.decode
STATES: Final = sorted(map(int, SHOWN))
"""States of a broadcast's deliveries that are in the inbox."""


def epoch_of(stored: bytes, timeline: str) -> bytes:
    """Return the epoch of positions: another one for each timeline of the server, as one that took over may give sequences
    of the lost future again."""
    return blake2b(timeline.encode(), key=stored, digest_size=len(stored)).digest()


def item_of(row: Any) -> Item:
    """Return the own item of a row."""
    item_id, created_ms, content, shared, own, category, expires_ms, collapse_key = row
    return Item(item_id, created_ms, content, ItemPlace(shared, own), category, expires_ms, collapse_key)


def shown(row: Any, user_id: str) -> Item | None:
    """Return a broadcast's delivery to one user, None when the row found none."""
    index = row["place"]
    if index is None:
        return None
    address = _UNPACK(row["addresses"])[index] if row["addresses"] else ""
    late = [] if row["late_seq"] is None else [(row["late_seq"], row["late_ms"], bytes(index) + b"\x01")]
    seq, at_ms = arrival_of(index, (row["seq"], row["planned_ms"]), late)
    content = _UNPACK(row["users"])[index] if row["users"] else _UNPACK(row["content"])
    id_ = delivery_id(row["broadcast_id"], user_id, _CHANNEL, address)
    return broadcast_item(id_, at_ms, content, seq, row["category"], row["expires_ms"])
