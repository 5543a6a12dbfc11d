"""Open digests of one partition: a cell for each, and one for each member's place in it, in the order they came."""

from hashlib import blake2b
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from clarion.plan.rules.workflow.digest import Digest, full, joined, left, opened
from clarion.plan.rules.workflow.state import Join
from clarion.plan.workflow.cells import Cells
from clarion.plan.workflow.instance import AdvanceRow, Instance, advance_timer, owner_of
from clarion.ports.journal import Timer

DIGEST_CELL: Final = b"d"
_KEY_BYTES: Final = 1 + 16
_PLACE_BYTES: Final = 4
_PACK: Final = msgspec.msgpack.encode
_DIGEST: Final = msgspec.msgpack.Decoder(Digest)


class Joined(NamedTuple):
    """A place taken in a digest: its cell, when the digest closes, and the digest's key if it is full now."""

    place: bytes
    closes_ms: int
    full: bytes | None


class Digests:
    """The digests that one step of planning changes; `timers` close those it opened."""

    def __init__(self, cells: Cells, partition: int, now_ms: int) -> None:
        self._cells = cells
        self._partition = partition
        self._now_ms = now_ms
        self.timers: list[Timer] = []

    def join(self, instance_id: bytes, instance: Instance, join: Join, zone: ZoneInfo) -> Joined:
        """Give an instance a place in the digest of its user, step and key, opening one if there is none."""
        key = _key(instance, join)
        digest = self._digest(key)
        opens = digest is None
        if digest is None:
            digest = opened(instance_id, join.step.window, self._now_ms, zone)
        place = key + digest.places.to_bytes(_PLACE_BYTES, "big")
        digest = joined(digest, join.step.window, self._now_ms, _size_bytes(instance))
        self._cells.put(key, _PACK(digest))
        self._cells.put(place, instance_id)
        if opens:
            self._set_timer(key, digest, instance)
        return Joined(place, digest.closes_ms, key if full(digest) else None)

    def leave(self, place: bytes, instance: Instance) -> None:
        """Free a place; of a digest that has closed there is none any more."""
        key = place[:_KEY_BYTES]
        digest = self._digest(key)
        if digest is None or self._cells.get(place) is None:
            return
        rest = left(digest, _size_bytes(instance))
        self._cells.put(place, None)
        self._cells.put(key, None if rest is None else _PACK(rest))

    def due(self, row: AdvanceRow, first: Instance | None) -> bool:
        """Return whether the digest a timer was set for is to close now. If it has slid on, a new timer is set, in the
        lane of `first`, its first member."""
        key = row.payload
        digest = self._digest(key)
        if digest is None or digest.opener != row.instance_id:
            return False  # it closed early, or everyone left; what has its key now is another one
        if self._now_ms < digest.closes_ms and first is not None:
            self._set_timer(key, digest, first)
            return False
        return True

    def members(self, key: bytes) -> list[bytes]:
        """Return the instances in a digest, in the order they came."""
        return [value for cell, value in self._cells.under(key) if cell != key]

    def close(self, key: bytes) -> list[bytes]:
        """Remove a digest with all places and return the instances that were in it, in the order they came."""
        cells = self._cells.under(key)
        for cell, _ in cells:
            self._cells.put(cell, None)
        return [value for cell, value in cells if cell != key]

    def _digest(self, key: bytes) -> Digest | None:
        value = self._cells.get(key)
        return None if value is None else _DIGEST.decode(value)

    def _set_timer(self, key: bytes, digest: Digest, instance: Instance) -> None:
        row = AdvanceRow(digest.opener, instance.tenant, "digest", 0, digest.closes_ms, key)
        timer_id = digest.opener + b"d" + digest.closes_ms.to_bytes(8, "big") + key
        self.timers.append(advance_timer(timer_id, instance.lane, self._partition, row))


def _key(instance: Instance, join: Join) -> bytes:
    names = (instance.tenant, instance.state.workflow, join.step.name, owner_of(instance.recipient), join.key)
    return DIGEST_CELL + blake2b(_PACK(names), digest_size=_KEY_BYTES - 1).digest()


def _size_bytes(instance: Instance) -> int:
    return len(_PACK(instance.origin.data))
