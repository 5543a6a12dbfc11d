"""The journal in one SQLite file, `journal.db`, shared by all processes of one machine.

Writes go through one group-commit thread per process, reads through a connection of the calling thread.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import apsw

from clarion.domain.feature_level import FEATURE_LEVEL
from clarion.domain.limits_processes import PARTITIONS_MAX
from clarion.ports.clock import Clock
from clarion.ports.regroup import Placement
from clarion.runtime.watch import GrowthSignal
from clarion.stores.sqlite.connection import connect, fetch_all
from clarion.stores.sqlite.in_use import InUse
from clarion.stores.sqlite.journal_append import Transaction
from clarion.stores.sqlite.journal_processes import BEGIN, LEVEL
from clarion.stores.sqlite.journal_reader import JournalReader
from clarion.stores.sqlite.journal_writer import GroupCommit
from clarion.stores.sqlite.migrate import path_of, upgrade
from clarion.stores.sqlite.stage_store import SqliteStageStore
from clarion.stores.sqlite.streams import SqliteStreams
from clarion.stores.sqlite.wake_ups import WakeUps

_WRITER_CACHE_KIB: Final = 16_384
_PARTITIONS: Final = "SELECT value FROM meta WHERE name = 'partitions'"


def open_journal(data_dir: Path, clock: Clock, partitions: int) -> "SqliteJournal":
    """Upgrade `journal.db` to the newest schema and return the open journal."""
    upgrade(data_dir, "journal")
    return SqliteJournal(data_dir, clock, partitions)


class SqliteJournal(SqliteStreams, SqliteStageStore):
    """Implements `ports.streams.Streams` and `ports.stage_store.StageStore` over `journal.db` in `data_dir`, which must have been upgraded.

    `partitions` is used at the first start only; later starts use the number in the file. Used from one event loop.
    """

    def __init__(self, data_dir: Path, clock: Clock, partitions: int) -> None:
        path = path_of(data_dir, "journal")
        self._use = InUse(data_dir / "run")
        db = connect(path, cache_kib=_WRITER_CACHE_KIB)
        partitions, level = _begun(db, partitions)
        reader = JournalReader(connect(path, readonly=True))
        growth = GrowthSignal(reader.heads)
        wakes = WakeUps(data_dir / "run" / "wakes")

        def begin(db: apsw.Connection) -> Transaction:
            return Transaction(db, clock.now_ms(), clock.monotonic_ms())

        def look() -> None:
            if reader.others_committed():
                growth.look()

        writer = GroupCommit(db, begin, growth.notify, look, wakes)
        SqliteStreams.__init__(self, reader, writer, growth, partitions)
        SqliteStageStore.__init__(self, reader, writer, clock, partitions, level)

    async def check_alone(self) -> None:
        """Raise `OperatorError` while another process has the journal open, or a lease is held."""
        with self._use.alone():
            await super().check_alone()

    async def regroup(self, placement: Placement, recorded: Mapping[int, int]) -> None:
        """Move every row to its place with another number of partitions, while no other process has the journal open."""
        with self._use.alone():
            await super().regroup(placement, recorded)

    async def close(self) -> None:
        """Finish queued commits and close."""
        await super().close()
        self._use.close()


def partitions_in(data_dir: Path) -> int | None:
    """Return the number of partitions of the journal in a folder, whose schema is up to date; None before its first start."""
    db = connect(path_of(data_dir, "journal"), readonly=True)
    try:
        found = fetch_all(db, _PARTITIONS)
    finally:
        db.close()
    return int(found[0][0]) if found else None


def _begun(db: apsw.Connection, partitions: int) -> tuple[int, int]:
    """Begin a new journal with a number of partitions; return the number and the feature level that it has."""
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise ValueError(f"a journal has 1 to {PARTITIONS_MAX} partitions, not {partitions}")
    with db:  # one transaction
        db.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('partitions', ?)", (partitions,))
        if db.changes():
            db.execute(BEGIN, (FEATURE_LEVEL,))
    ((fixed, level),) = fetch_all(db, f"SELECT ({_PARTITIONS}), ({LEVEL})")
    return int(fixed), int(level)
