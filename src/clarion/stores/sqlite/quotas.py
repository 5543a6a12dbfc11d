"""Usage of quotas in `quota.db`, shared by all processes on one machine.

The file is written on the event loop and never fsynced: a change takes some 20 us, and a power cut loses only usage.
"""

from pathlib import Path
from typing import Final

import apsw

from clarion.domain.limits_processes import QUOTA_STORE_WAIT_MS
from clarion.domain.quota import Usage
from clarion.ports.quotas import BucketName
from clarion.stores.sqlite.migrate import path_of
from clarion.stores.sqlite.versions import SqliteVersions, Statements
from clarion.stores.sqlite.volatile_file import VolatileFile

_LAYOUT: Final = 2
_CREATE: Final = """
CREATE TABLE usage (
    tenant TEXT NOT NULL, key_id TEXT NOT NULL, kind TEXT NOT NULL, version INTEGER NOT NULL,
    used_m INTEGER NOT NULL, at_ms INTEGER NOT NULL, period INTEGER NOT NULL,
    PRIMARY KEY (tenant, key_id, kind)) WITHOUT ROWID
"""
_STEPS: Final = {
    1: f"""
ALTER TABLE usage RENAME TO usage_1;
{_CREATE};
INSERT INTO usage SELECT tenant, key_id, kind, 1, used_m, at_ms, period FROM usage_1;
DROP TABLE usage_1
"""  # noqa: S608 - constants
}
_STATEMENTS: Final = Statements(
    read="SELECT version, used_m, at_ms, period FROM usage WHERE tenant = ? AND key_id = ? AND kind = ?",
    insert="INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    update=(
        "UPDATE usage SET used_m = ?, at_ms = ?, period = ?, version = ?"
        " WHERE tenant = ? AND key_id = ? AND kind = ? AND version = ?"
    ),
)
_FORGET: Final = (
    "DELETE FROM usage WHERE tenant = ? AND key_id = ? AND kind >= ? AND kind < ? AND (at_ms <= ? OR at_ms > ?)"
)


class SqliteQuotas(SqliteVersions[BucketName, Usage]):
    """Implements `ports/quotas.py`. Used by one thread at a time."""

    def __init__(self, data_dir: Path) -> None:
        file = VolatileFile(path_of(data_dir, "quota"), "quotas", _LAYOUT, _CREATE, QUOTA_STORE_WAIT_MS, steps=_STEPS)
        super().__init__(file, _STATEMENTS, tuple, Usage)

    async def forget(self, tenant: str, key_id: str, kinds: tuple[str, str], keep_ms: tuple[int, int]) -> None:
        """Remove the buckets of one owner and a range of kinds, except those whose time is within `keep_ms`."""

        def work(db: apsw.Connection) -> None:
            db.execute(_FORGET, (tenant, key_id, *kinds, *keep_ms))

        self._file.change(work)
