"""Positions and cursors as clients hold them: opaque, and only valid for the inbox that they are of."""

import struct
from hashlib import blake2b
from typing import Final

from clarion.domain.inbox import ItemPlace, Position

EPOCH_BYTES: Final = 8
_TAG_BYTES: Final = 8
_POSITION: Final = struct.Struct(f">{EPOCH_BYTES}s{_TAG_BYTES}sQQ")
_CURSOR: Final = struct.Struct(f">{_TAG_BYTES}sQQ")
_SEQ_MAX: Final = 1 << 62


def position_bytes(tenant: str, user_id: str, position: Position) -> bytes:
    """Return a position for a client."""
    return tagged_bytes(position_tag(tenant, user_id), position)


def position_tag(tenant: str, user_id: str) -> bytes:
    """Return what ties positions to an inbox."""
    return _tag(tenant, user_id, b"position")


def tagged_bytes(tag: bytes, position: Position) -> bytes:
    """Return a position for a client of an inbox whose tag is known."""
    return _POSITION.pack(position.epoch, tag, position.own, position.shared)


def read_position(tenant: str, user_id: str, text: bytes) -> Position | None:
    """Return the position that a client gives back; None when it is none of this inbox. Its epoch may be over."""
    if len(text) != _POSITION.size:
        return None
    epoch, tag, own, shared = _POSITION.unpack(text)
    return Position(epoch, own, shared) if tag == position_tag(tenant, user_id) and _fits(own, shared) else None


def cursor_bytes(tenant: str, user_id: str, epoch: bytes, place: ItemPlace) -> bytes:
    """Return the cursor of a list that continues below a place."""
    return _CURSOR.pack(_tag(tenant, user_id, epoch), place.shared, place.own)


def read_cursor(tenant: str, user_id: str, epoch: bytes, text: bytes) -> ItemPlace | None:
    """Return the place of a cursor; None when it is none of this inbox in this epoch."""
    if len(text) != _CURSOR.size:
        return None
    tag, shared, own = _CURSOR.unpack(text)
    return ItemPlace(shared, own) if tag == _tag(tenant, user_id, epoch) and _fits(own, shared) else None


def _tag(tenant: str, user_id: str, key: bytes) -> bytes:
    return blake2b(f"{len(tenant)}:{tenant}{user_id}".encode(), key=key, digest_size=_TAG_BYTES).digest()


def _fits(own: int, shared: int) -> bool:
    return own < _SEQ_MAX and shared < _SEQ_MAX
