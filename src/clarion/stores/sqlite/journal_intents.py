"""Open intents in `journal.db`: few small rows per group and partition, deleted as soon as their frames are
committed."""

from typing import Final

import apsw

from clarion.domain.limits_processes import INTENT_ENTRIES_PER_READ_MAX
from clarion.ports.stage_store import IntentEntry, IntentWrite
from clarion.stores.sqlite.connection import fetch_all

_PUT: Final = """INSERT INTO intents ("group", partition, number, payload) VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET payload = excluded.payload"""
_REMOVE: Final = 'DELETE FROM intents WHERE "group" = ? AND partition = ? AND number < ?'
_OPEN: Final = """SELECT number, payload FROM intents WHERE "group" = ? AND partition = ? AND number > ?
    ORDER BY number LIMIT ?"""


def write_intents(db: apsw.Connection, write: IntentWrite) -> None:
    """Add entries, then remove those whose frames are committed."""
    group, partition = write.lease.group, write.lease.partition
    for entry in write.entries:
        db.execute(_PUT, (group, partition, entry.number, entry.payload))
    if write.below:
        db.execute(_REMOVE, (group, partition, write.below))


def read_intents(db: apsw.Connection, group: str, partition: int, after: int) -> list[IntentEntry]:
    """Return entries numbered above `after`, in order."""
    rows = fetch_all(db, _OPEN, (group, partition, after, INTENT_ENTRIES_PER_READ_MAX))
    return [IntentEntry(number, payload) for number, payload in rows]
