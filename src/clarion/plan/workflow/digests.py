"""Open digests of one partition: a cell for each, and one for each member's place in it, in the order they came."""

from hashlib import blake2b
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from clarion.domain.channel import Lane
from clarion.plan.rules.workflow.digest import Digest, full, joined, opened
from clarion.plan.rules.workflow.state import Join
from clarion.plan.workflow.cells import Cells
from clarion.plan.workflow.instance import AdvanceRow, Instance, advance_timer, owner_of
from clarion.ports.stage_store import Timer

DIGEST_CELL: Final = b"d"
_KEY_BYTES: Final = 1 + 16
_PLACE_BYTES: Final = 4
_PACK: Final = msgspec.msgpack.encode
_DIGEST: Final = msgspec.msgpack.Decoder(Digest)


class Joined(NamedTuple):
    """A place taken in a digest: the digest's key, when it closes, and whether it is full now."""

    key: bytes
    closes_ms: int
    full: bool


class Digests:
    """The digests that one step of planning changes; `timers` close those it opened."""

    def __init__(self, cells: Cells, partition: int, now_ms: int) -> None:
        self._cells = cells
        self._partition = partition
        self._now_ms = now_ms
        self.timers: list[Timer] = []

    def join(self, instance_id: bytes, instance: Instance, join: Join, zone: ZoneInfo) -> Joined:
        """Give an instance a place in the digest of its user, step and key, opening one if there is none."""
        key = digest_key(instance, join.step.name, join.key)
        digest = self._digest(key)
        opens = digest is None
        if digest is None:
            digest = opened(instance_id, join.step.window, self._now_ms, zone)
        place = key + digest.places.to_bytes(_PLACE_BYTES, "big")
        digest = joined(digest, join.step.window, self._now_ms, _size_bytes(instance))
        self._cells.put(key, _PACK(digest))
        self._cells.put(place, instance_id)
        if opens:
            self._set_timer(key, digest, instance.tenant, instance.lane)
        return Joined(key, digest.closes_ms, full(digest))

    def due(self, key: bytes, tenant: str, lane: Lane) -> bool:
        """Return whether a digest is to close now. If it has slid on, or what has its key now is a later one, a timer is
        set for when that closes."""
        digest = self._digest(key)
        if digest is None:
            return False  # it was full, and closed before its time
        if self._now_ms >= digest.closes_ms:
            return True
        self._set_timer(key, digest, tenant, lane)
        return False

    def close(self, key: bytes) -> list[bytes]:
        """Remove a digest with all places and return the instances that were in it, in the order they came."""
        cells = self._cells.under(key)
        for cell, _ in cells:
            self._cells.put(cell, None)
        return [value for cell, value in cells if cell != key]

    def _digest(self, key: bytes) -> Digest | None:
        value = self._cells.get(key)
        return None if value is None else _DIGEST.decode(value)

    def _set_timer(self, key: bytes, digest: Digest, tenant: str, lane: Lane) -> None:
        row = AdvanceRow(digest.opener, tenant, "digest", 0, digest.closes_ms, key)
        timer_id = digest.opener + key + digest.closes_ms.to_bytes(8, "big")
        self.timers.append(advance_timer(timer_id, lane, self._partition, row))


def is_due(cell: bytes | None, now_ms: int) -> bool:
    """Return whether the digest in a cell closes by a time (Unix ms)."""
    return cell is not None and now_ms >= _DIGEST.decode(cell).closes_ms


def digest_key(instance: Instance, step: str, key: str) -> bytes:
    """Return the key of the cell of the digest that a step collects in for the instance's user."""
    names = (instance.tenant, instance.state.workflow, step, owner_of(instance.recipient), key)
    return DIGEST_CELL + blake2b(_PACK(names), digest_size=_KEY_BYTES - 1).digest()


def _size_bytes(instance: Instance) -> int:
    """Return what a member costs the step that closes the digest: its data, and what came of its earlier steps."""
    return len(_PACK((instance.origin.data, instance.state.variables, instance.state.results)))
