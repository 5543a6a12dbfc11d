"""How accounts at providers stand, in `standing.db`, shared by all processes on one machine.

The file is written without a single fsync, on the event loop: a change takes some 30 us, and whatever is lost at a power
cut is found out again. Its times are of a clock that starts anew with the machine, so rows of an earlier boot are deleted
when the file is opened.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw
import msgspec

from clarion.backends.sqlite.forgettable import Forgettable
from clarion.backends.sqlite.migrate import path_of
from clarion.backends.sqlite.versions import SqliteVersions, Statements
from clarion.domain.limits_breakers import STANDING_STORE_WAIT_MS
from clarion.domain.standing import Standing
from clarion.ports.standings import AccountName

_LAYOUT: Final = 2
_CREATE: Final = """
CREATE TABLE standing (
    tenant TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, boot TEXT NOT NULL, standing BLOB NOT NULL,
    PRIMARY KEY (tenant, name)) WITHOUT ROWID
"""
_STEPS: Final = {
    1: f"""
ALTER TABLE standing RENAME TO standing_1;
{_CREATE};
INSERT INTO standing SELECT tenant, name, 1, boot, standing FROM standing_1;
DROP TABLE standing_1
"""  # noqa: S608 - constants
}
_STATEMENTS: Final = Statements(
    read="SELECT version, standing FROM standing WHERE tenant = ? AND name = ?",
    insert="INSERT INTO standing VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    update="UPDATE standing SET boot = ?, standing = ?, version = ? WHERE tenant = ? AND name = ? AND version = ?",
)
_FORGET: Final = "DELETE FROM standing WHERE boot <> ?"
_BOOT_FILE: Final = Path("/proc/sys/kernel/random/boot_id")
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(Standing).decode


class SqliteStandings(SqliteVersions[AccountName, Standing]):
    """Implements `ports/standings.py`. Used by one thread at a time. `boot` names this run of the machine; None asks the
    system for it."""

    def __init__(self, data_dir: Path, boot: str | None = None) -> None:
        named = _this_boot() if boot is None else boot

        def forget(db: apsw.Connection) -> None:
            db.execute(_FORGET, (named,))

        path = path_of(data_dir, "standing")
        file = Forgettable(path, "standings", _LAYOUT, _CREATE, STANDING_STORE_WAIT_MS, forget, _STEPS)
        super().__init__(file, _STATEMENTS, lambda standing: (named, _ENCODE(standing)), _made)


def _made(encoded: bytes | None = None) -> Standing:
    if encoded is not None:
        with suppress(msgspec.DecodeError):  # written by another release
            return _DECODE(encoded)
    return Standing()


def _this_boot() -> str:
    """Return the name of this run of the machine; where the system has none, times that lie ahead tell as well."""
    try:
        return _BOOT_FILE.read_text().strip()
    except OSError:
        return ""
