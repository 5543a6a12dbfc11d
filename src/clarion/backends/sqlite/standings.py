"""How accounts at providers stand, in `standing.db`, shared by all processes on one machine.

The file is written without a single fsync, on the event loop: a change takes some 30 us, and whatever is lost at a power
cut is found out again. Its times are of a clock that starts anew with the machine, so rows of an earlier boot are deleted
when the file is opened.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import apsw
import msgspec

from clarion.backends.sqlite.forgettable import Forgettable
from clarion.backends.sqlite.migrate import path_of
from clarion.domain.limits_breakers import STANDING_STORE_WAIT_MS
from clarion.domain.standing import Standing
from clarion.ports.standings import AccountName

T = TypeVar("T")

_LAYOUT: Final = 1
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS standing (
    tenant TEXT NOT NULL, name TEXT NOT NULL, boot TEXT NOT NULL, standing BLOB NOT NULL,
    PRIMARY KEY (tenant, name)) WITHOUT ROWID
"""
_FORGET: Final = "DELETE FROM standing WHERE boot <> ?"
_READ: Final = "SELECT standing FROM standing WHERE tenant = ? AND name = ?"
_WRITE: Final = "INSERT OR REPLACE INTO standing VALUES (?, ?, ?, ?)"
_BOOT_FILE: Final = Path("/proc/sys/kernel/random/boot_id")
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(Standing).decode


class SqliteStandings:
    """Implements `ports/standings.py`. Used by one thread at a time. `boot` names this run of the machine; None asks the
    system for it."""

    def __init__(self, data_dir: Path, boot: str | None = None) -> None:
        self._boot = _this_boot() if boot is None else boot
        path = path_of(data_dir, "standing")
        self._file = Forgettable(path, "standings", _LAYOUT, _CREATE, STANDING_STORE_WAIT_MS, self._forget)

    def change(
        self, names: Sequence[AccountName], decide: Callable[[list[Standing]], tuple[Sequence[Standing], T]]
    ) -> T:
        """Read standings, store what `decide` makes of them, and return what it returns beside that, as one transaction.
        What did not change is not written."""

        def work(db: apsw.Connection) -> T:
            before = [_read(db, name) for name in names]
            standings, answer = decide(before)
            for name, old, new in zip(names, before, standings, strict=True):
                if new is not old:
                    db.execute(_WRITE, (*name, self._boot, _ENCODE(new)))
            return answer

        return self._file.change(work)

    def read(self, names: Sequence[AccountName]) -> list[Standing]:
        """Return standings without changing them."""
        return self._file.read(lambda db: [_read(db, name) for name in names])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _forget(self, db: apsw.Connection) -> None:
        db.execute(_FORGET, (self._boot,))


def _read(db: apsw.Connection, name: AccountName) -> Standing:
    row = db.execute(_READ, name).fetchone()
    if row is not None:
        with suppress(msgspec.DecodeError):  # written by another release
            return _DECODE(row[0])
    return Standing()


def _this_boot() -> str:
    """Return the name of this run of the machine; where the system has none, times that lie ahead tell as well."""
    try:
        return _BOOT_FILE.read_text().strip()
    except OSError:
        return ""
