"""Account health in `standing.db`, shared by all processes on one machine.

The file is written on the event loop and never fsynced: a change takes some 30 us, and health lost at a power cut is
learned again from later attempts. Its times are of a clock that restarts with the machine, so rows of an earlier boot
are deleted when the file is opened.
"""

from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw
import msgspec

from clarion.domain.account_health import AccountHealth
from clarion.domain.limits_delivery import HEALTH_STORE_WAIT_MS
from clarion.ports.account_health import AccountName
from clarion.stores.sqlite.migrate import path_of
from clarion.stores.sqlite.versions import SqliteVersions, Statements
from clarion.stores.sqlite.volatile_file import VolatileFile

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
_DECODE: Final = msgspec.msgpack.Decoder(AccountHealth).decode


class SqliteAccountHealth(SqliteVersions[AccountName, AccountHealth]):
    """Implements `ports/account_health.py`. Used by one thread at a time. `boot` identifies the current boot of the
    machine; None reads it from the system."""

    def __init__(self, data_dir: Path, boot: str | None = None) -> None:
        named = _this_boot() if boot is None else boot

        def forget(db: apsw.Connection) -> None:
            db.execute(_FORGET, (named,))

        path = path_of(data_dir, "standing")
        file = VolatileFile(path, "standings", _LAYOUT, _CREATE, HEALTH_STORE_WAIT_MS, forget, _STEPS)
        super().__init__(file, _STATEMENTS, lambda health: (named, _ENCODE(health)), _made)


def _made(encoded: bytes | None = None) -> AccountHealth:
    if encoded is not None:
        with suppress(msgspec.DecodeError):  # written by another release
            return _DECODE(encoded)
    return AccountHealth()


def _this_boot() -> str:
    """Return the id of the current boot, empty where the system has none; rows with times in the future are then the
    sign of an earlier boot."""
    try:
        return _BOOT_FILE.read_text().strip()
    except OSError:
        return ""
