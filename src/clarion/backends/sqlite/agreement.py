"""Whether the files of an installation belong together: one that was lost or restored alone would be filled anew in silence,
and what is recorded from then on would be taken for what was recorded long ago."""

from pathlib import Path
from typing import Final

import apsw

from clarion.backends.sqlite.connection import connect
from clarion.backends.sqlite.journal_streams import find
from clarion.backends.sqlite.migrate import NAMES, path_of, upgrade
from clarion.domain.errors import OperatorError
from clarion.journal import topics

_REMEDY: Final = (
    "The files of an installation belong together: restore all of one backup,"
    " or begin anew in an empty directory with control.db and the keys alone."
)
_POSITIONS: Final = 'SELECT partition, "offset" FROM positions ORDER BY partition'


def upgrade_all(data_dir: Path) -> None:
    """Bring every file of an installation to its newest revision. Raises `OperatorError` when they do not belong together, and
    as `upgrade` does."""
    _check_presence(data_dir)
    for name in NAMES:
        upgrade(data_dir, name)
    _check_positions(data_dir)


def _check_presence(data_dir: Path) -> None:
    """Refuse when definitions are missing beside what was done by them."""
    control = path_of(data_dir, "control")
    beside = [path for path in (path_of(data_dir, "journal"), path_of(data_dir, "state")) if path.exists()]
    if beside and not control.exists():
        raise OperatorError(f"{control} is missing, and {beside[0].name} is there. {_REMEDY}")


def _check_positions(data_dir: Path) -> None:
    """Refuse when history was recorded of frames that the journal never had, or lacks some that it no longer has. Other
    processes may be at work."""
    journal, state = path_of(data_dir, "journal"), path_of(data_dir, "state")
    frames, history = connect(journal, readonly=True), connect(state, readonly=True)
    try:
        # What is trimmed is recorded before, and what is recorded is appended before: so each is read ahead of the other.
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
    """Return the last frame trimmed away, and the newest one."""
    stream = find(db, topics.OUTCOMES, partition)
    return (0, 0) if stream is None else (stream.trimmed_offset, max(stream.trimmed_offset, stream.offset))
