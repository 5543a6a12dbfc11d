"""A schedule's data in the journal: a timer for its next occurrence, and a cell with the result of the latest one."""

from hashlib import blake2b
from typing import Final

import msgspec

from clarion.domain import ids
from clarion.domain.channel import Lane
from clarion.journal.codec import encode
from clarion.journal.events import OccurrenceFrame
from clarion.journal.topics import accepted
from clarion.ports.journal_cells import Cell
from clarion.ports.stage_store import StageStore, Timer

OCCURRENCE_CELL: Final = b"o"
_TIMER_ID_BYTES: Final = 16
_CELL_BYTES: Final = 16


class Latest(msgspec.Struct, frozen=True, array_like=True):
    """The result of the occurrence due at `due_ms` and processed at `at_ms` (Unix ms). `result` is `started` or the
    reason why nothing was sent; `subject` is the public id of the notification or broadcast."""

    due_ms: int
    at_ms: int
    result: str
    subject: str = ""


_LATEST: Final = msgspec.msgpack.Decoder(Latest)
_ENCODER: Final = msgspec.msgpack.Encoder()


def occurrence_digest(tenant: str, key: str, version: int, due_ms: int, size: int) -> bytes:
    """Return the bytes that an occurrence's ids are made from: the same occurrence always gets the same ids."""
    text = f"{len(tenant)}:{tenant}{len(key)}:{key}{version}:{due_ms}"
    return blake2b(text.encode(), digest_size=size).digest()


def schedule_partition(tenant: str, key: str, partitions: int) -> int:
    """Return the partition that processes a schedule's occurrences."""
    return ids.partition_for(tenant, f"schedule:{key}", partitions)


def occurrence_timer(tenant: str, key: str, version: int, due_ms: int, partition: int) -> Timer:
    """Return the timer of an occurrence in the schedule's partition. Setting it again changes nothing."""
    frame = OccurrenceFrame([tenant], [key], [version], [due_ms])
    timer_id = occurrence_digest(tenant, key, version, due_ms, _TIMER_ID_BYTES)
    return Timer(timer_id, due_ms, accepted(Lane.BULK), partition, encode(frame, 1))


def latest_key(tenant: str, key: str) -> bytes:
    """Return the key of the cell, in the schedule's partition, that holds the result of its latest occurrence."""
    return OCCURRENCE_CELL + blake2b(f"{len(tenant)}:{tenant}{key}".encode(), digest_size=_CELL_BYTES).digest()


def latest_in(value: bytes | None) -> Latest | None:
    """Return the decoded value of such a cell, or None without one."""
    return None if value is None else _LATEST.decode(value)


async def latest_of(store: StageStore, tenant: str, key: str, partition: int) -> Latest | None:
    """Return the result of a schedule's latest occurrence, or None before the first."""
    place = partition, latest_key(tenant, key)
    return latest_in((await store.cells_of([place])).get(place))


def latest_cell(tenant: str, key: str, latest: Latest | None, partition: int) -> Cell:
    """Return the write of that cell; None as `latest` removes it."""
    return Cell(partition, latest_key(tenant, key), None if latest is None else _ENCODER.encode(latest))
