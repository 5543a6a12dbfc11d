"""Checks that the files of an installation belong together: a file that was lost or restored alone would be filled
again silently, and new records would be mistaken for old ones."""

from pathlib import Path
from typing import Final

import apsw

from clarion.domain.errors import OperatorError
from clarion.journal import topics
from clarion.ports.store_rows import FACT, check_unmoved
from clarion.stores.sqlite.connection import connect, fetch_one
from clarion.stores.sqlite.journal_streams import find
from clarion.stores.sqlite.migrate import NAMES, path_of, upgrade

_REMEDY: Final = (
    "The files of an installation belong together: restore all of one backup,"
    " or start with an empty directory that holds only control.db and the keys."
)
_POSITIONS: Final = 'SELECT partition, "offset" FROM positions ORDER BY partition'


def upgrade_all(data_dir: Path) -> None:
    """Upgrade every file of an installation to its newest revision. Raises `OperatorError` when the files do not belong
    together, when the installation was moved to another engine, and when `upgrade` raises it."""
    _check_presence(data_dir)
    for name in NAMES:
        upgrade(data_dir, name)
    _check_positions(data_dir)
    _check_unmoved(data_dir)


def _check_presence(data_dir: Path) -> None:
    """Raise `OperatorError` when the definitions are missing and the files that depend on them exist."""
    control = path_of(data_dir, "control")
    beside = [path for path in (path_of(data_dir, "journal"), path_of(data_dir, "state")) if path.exists()]
    if beside and not control.exists():
        raise OperatorError(f"{control} is missing, but {beside[0].name} exists. {_REMEDY}")


def _check_unmoved(data_dir: Path) -> None:
    control = connect(path_of(data_dir, "control"), readonly=True)
    try:
        row = fetch_one(control, "SELECT value FROM facts WHERE name = ?", (FACT,))
    finally:
        control.close()
    check_unmoved("sqlite", None if row is None else bytes(row[0]))


def _check_positions(data_dir: Path) -> None:
    """Raise `OperatorError` when the state store recorded frames that the journal never had, or misses frames that the
    journal has already trimmed. Other processes may be running."""
    journal, state = path_of(data_dir, "journal"), path_of(data_dir, "state")
    frames, history = connect(journal, readonly=True), connect(state, readonly=True)
    try:
        # A frame is appended, then recorded, then trimmed. Reading in the opposite order allows for progress in
        # between.
        begins = {partition: _stream(frames, partition)[0] for partition in _partitions(frames)}
        recorded = {int(partition): int(offset) for partition, offset in history.execute(_POSITIONS)}
        ends = {partition: _stream(frames, partition)[1] for partition in recorded}
    finally:
        frames.close()
        history.close()
    for partition, offset in recorded.items():
        if offset > ends[partition]:
            raise OperatorError(
                f"{journal} is older than {state.name}: partition {partition} is recorded up to frame {offset}, and its"
                f" journal ends at {ends[partition]}. {_REMEDY}"
            )
    for partition, begin in begins.items():
        if begin > recorded.get(partition, 0):
            raise OperatorError(
                f"{state} is older than {journal.name}: partition {partition} is recorded up to frame"
                f" {recorded.get(partition, 0)}, and its journal begins after {begin}. {_REMEDY}"
            )


def _partitions(db: apsw.Connection) -> list[int]:
    found = db.execute("SELECT partition FROM streams WHERE topic = ?", (topics.OUTCOMES,))
    return [int(partition) for (partition,) in found]


def _stream(db: apsw.Connection, partition: int) -> tuple[int, int]:
    """Return the offsets of the last trimmed frame and of the newest frame."""
    stream = find(db, topics.OUTCOMES, partition)
    return (0, 0) if stream is None else (stream.trimmed_offset, max(stream.trimmed_offset, stream.offset))
