"""Open digests of one partition: a cell for each, and one for each member's place, in order of arrival."""

from hashlib import blake2b
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from clarion.domain.channel import Lane
from clarion.plan.rules.workflow.digest import Digest, is_full, join_digest, open_digest
from clarion.plan.rules.workflow.state import Join
from clarion.plan.workflow.cells import Cells
from clarion.plan.workflow.instance import AdvanceRow, Instance, advance_timer, recipient_key
from clarion.ports.stage_store import Timer

DIGEST_CELL: Final = b"d"
DIGEST_KEY_BYTES: Final = 1 + 16
_PLACE_BYTES: Final = 4
_PACK: Final = msgspec.msgpack.encode
_DIGEST: Final = msgspec.msgpack.Decoder(Digest)


class Joined(NamedTuple):
    """The result of joining a digest: the digest's key, when it closes, and whether it is full now."""

    key: bytes
    closes_ms: int
    full: bool


class Digests:
    """The digests that one planning step changes; `timers` close those it opened."""

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
            digest = open_digest(instance_id, join.step.window, self._now_ms, zone)
        place = key + digest.places.to_bytes(_PLACE_BYTES, "big")
        digest = join_digest(digest, join.step.window, self._now_ms, _size_bytes(instance))
        self._cells.put(key, _PACK(digest))
        self._cells.put(place, instance_id)
        if opens:
            self._set_timer(key, digest, instance.tenant, instance.lane)
        return Joined(key, digest.closes_ms, is_full(digest))

    def due(self, key: bytes, tenant: str, lane: Lane) -> bool:
        """Return whether a digest is to close now. If its window has moved, or a later digest has its key now, a timer
        is set for the new closing time."""
        digest = self._digest(key)
        if digest is None:
            return False  # it was full, and closed early
        if self._now_ms >= digest.closes_ms:
            return True
        self._set_timer(key, digest, tenant, lane)
        return False

    def close(self, key: bytes) -> list[bytes]:
        """Remove a digest with all places and return the ids of its instances, in order of arrival."""
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
    """Return the key of the cell of a step's digest for the instance's user."""
    names = (instance.tenant, instance.state.workflow, step, recipient_key(instance.recipient), key)
    return DIGEST_CELL + blake2b(_PACK(names), digest_size=DIGEST_KEY_BYTES - 1).digest()


def _size_bytes(instance: Instance) -> int:
    """Return the size of a member's data for the step that closes the digest: its data, variables and earlier
    results."""
    return len(_PACK((instance.origin.data, instance.state.variables, instance.state.results)))
