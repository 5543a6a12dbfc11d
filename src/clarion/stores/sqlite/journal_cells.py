"""Cells, waits and cap times in `journal.db`: reading them, and writing them inside the writer's transaction."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import takewhile
from struct import Struct
from typing import Any, Final

import apsw
import msgspec

from clarion.domain.limits_processes import CAP_BLOCK_USERS
from clarion.ports.journal_cells import CapWrite, Cell, Signal, Wait, WaitEnd
from clarion.ports.stage_store import StaleCaps
from clarion.stores.sqlite.connection import fetch_all

_PUT_CELL: Final = """INSERT INTO cells (partition, key, value) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET value = excluded.value"""
_REMOVE_CELL: Final = "DELETE FROM cells WHERE partition = ? AND key = ?"
_CELLS: Final = """SELECT key, value FROM cells
    WHERE partition = ? AND key IN (SELECT unhex(value) FROM json_each(?))"""
_CELLS_UNDER: Final = "SELECT key, value FROM cells WHERE partition = ? AND key > ? AND key >= ? ORDER BY key LIMIT ?"

_PUT_WAIT: Final = (
    "INSERT OR REPLACE INTO waits (tenant, key, subject, topic, partition, expires_ms) VALUES (?, ?, ?, ?, ?, ?)"
)
_END_WAIT: Final = "DELETE FROM waits WHERE tenant = ? AND key = ? AND subject = ?"
_WAITS: Final = "SELECT * FROM waits WHERE tenant = ? AND key = ? AND expires_ms > ? ORDER BY subject LIMIT ?"
_STREAMS: Final = """SELECT DISTINCT topic, partition FROM waits WHERE tenant = ? AND key = ? AND expires_ms > ?
    ORDER BY topic, partition"""

_CAPS: Final = """SELECT block, times FROM caps
    WHERE tenant = ? AND rule = ? AND block IN (SELECT value FROM json_each(?))"""
_PUT_CAPS: Final = """INSERT INTO caps (tenant, rule, block, times) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET times = excluded.times"""
_SECONDS: Final = Struct("<I")
_EMPTY_BLOCK: Final = bytes(CAP_BLOCK_USERS * _SECONDS.size)


def read_cells(db: apsw.Connection, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Return the values of those of the keys that exist."""
    return dict(fetch_all(db, _CELLS, (partition, json.dumps([key.hex() for key in keys]))))


def read_cells_under(
    db: apsw.Connection, partition: int, prefix: bytes, limit: int, after: bytes
) -> list[tuple[bytes, bytes]]:
    """Return up to `limit` (key, value) pairs with keys that begin with `prefix` and are above `after`, in order."""
    rows: Any = db.execute(_CELLS_UNDER, (partition, after, prefix, limit))
    found = list(takewhile(lambda row: row[0].startswith(prefix), rows))
    rows.close()  # an open statement would hold this snapshot and keep the log from being checkpointed
    return found


def write_cells(db: apsw.Connection, cells: Iterable[Cell]) -> None:
    """Set and remove cells; of several writes to one key the last counts."""
    newest = {(cell.partition, cell.key): cell.value for cell in cells}
    db.executemany(_PUT_CELL, [(*place, value) for place, value in newest.items() if value is not None])
    db.executemany(_REMOVE_CELL, [place for place, value in newest.items() if value is None])


def read_waits(db: apsw.Connection, tenant: str, key: bytes, now_ms: int, limit: int) -> list[Wait]:
    """Return the waits for a key."""
    return [Wait(*row) for row in fetch_all(db, _WAITS, (tenant, key, now_ms, limit))]


def streams_of(db: apsw.Connection, signal: Signal, now_ms: int) -> list[tuple[str, int]]:
    """Return the streams on which a signal has waiters, each once."""
    return [(topic, partition) for topic, partition in fetch_all(db, _STREAMS, (signal.tenant, signal.key, now_ms))]


def write_waits(db: apsw.Connection, ended: Iterable[WaitEnd], begun: Iterable[Wait]) -> None:
    """Remove waits, then set new ones."""
    db.executemany(_END_WAIT, [msgspec.structs.astuple(wait) for wait in ended])
    db.executemany(_PUT_WAIT, [msgspec.structs.astuple(wait) for wait in begun])


def read_caps(db: apsw.Connection, tenant: str, rule: bytes, blocks: Sequence[int]) -> dict[int, bytes]:
    """Return the cap times of those of the blocks that exist."""
    return dict(fetch_all(db, _CAPS, (tenant, rule, json.dumps(list(blocks)))))


def write_caps(db: apsw.Connection, writes: Iterable[CapWrite]) -> None:
    """Change cap times by one read of all blocks of a rule and one write per block. Raises `StaleCaps` when a slot has
    changed since it was read."""
    rules: dict[tuple[str, bytes], list[CapWrite]] = defaultdict(list)
    for write in writes:
        rules[write.tenant, write.rule].append(write)
    rows: list[tuple[str, bytes, int, bytes]] = []
    for rule, members in rules.items():
        blocks = read_caps(db, *rule, [write.block for write in members])
        for write in members:
            blocks[write.block] = _spliced(blocks.get(write.block, _EMPTY_BLOCK), write)
        rows += [(*rule, block, times) for block, times in blocks.items()]
    db.executemany(_PUT_CAPS, rows)


def _spliced(times: bytes, write: CapWrite) -> bytes:
    if not write.changes:
        return times
    changed = bytearray(times)
    slots, reads, news = zip(*write.changes, strict=True)
    if slots == tuple(range(slots[0], slots[0] + len(slots))):
        # Consecutive slots, as a page of a broadcast changes them, are compared and replaced in one operation.
        run, place = Struct(f"<{len(slots)}I"), slice(slots[0] * _SECONDS.size, (slots[-1] + 1) * _SECONDS.size)
        if changed[place] != run.pack(*reads):
            raise StaleCaps(f"slots of block {write.block} were changed since they were read")
        changed[place] = run.pack(*news)
        return bytes(changed)
    for slot, read_s, new_s in write.changes:
        at = slot * _SECONDS.size
        if _SECONDS.unpack_from(changed, at)[0] != read_s:
            raise StaleCaps(f"slot {slot} of block {write.block} was changed since it was read")
        _SECONDS.pack_into(changed, at, new_s)
    return bytes(changed)
