"""Usage of quotas in `quota.db`, shared by all processes on one machine.

The file is written without a single fsync, on the event loop: a change takes some 20 us, and whatever is lost at a power
cut was only usage.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import apsw

from clarion.backends.sqlite.forgettable import Forgettable
from clarion.backends.sqlite.migrate import path_of
from clarion.domain.limits_deciding import QUOTA_STORE_WAIT_MS
from clarion.domain.quota import Usage
from clarion.ports.quotas import BucketName

T = TypeVar("T")

_LAYOUT: Final = 1
_CREATE: Final = """
CREATE TABLE IF NOT EXISTS usage (
    tenant TEXT NOT NULL, key_id TEXT NOT NULL, kind TEXT NOT NULL,
    used_m INTEGER NOT NULL, at_ms INTEGER NOT NULL, period INTEGER NOT NULL,
    PRIMARY KEY (tenant, key_id, kind)) WITHOUT ROWID
"""
_READ: Final = "SELECT used_m, at_ms, period FROM usage WHERE tenant = ? AND key_id = ? AND kind = ?"
_FORGET: Final = (
    "DELETE FROM usage WHERE tenant = ? AND key_id = ? AND kind >= ? AND kind < ? AND (at_ms <= ? OR at_ms > ?)"
)
_WRITE: Final = "INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?, ?, ?)"


class SqliteQuotas:
    """Implements `ports/quotas.py`. Used by one thread at a time."""

    def __init__(self, data_dir: Path) -> None:
        self._file = Forgettable(path_of(data_dir, "quota"), "quotas", _LAYOUT, _CREATE, QUOTA_STORE_WAIT_MS)

    def change(self, names: Sequence[BucketName], decide: Callable[[list[Usage]], tuple[Sequence[Usage], T]]) -> T:
        """Read buckets, store what `decide` makes of them, and return what it returns beside that, as one transaction."""

        def work(db: apsw.Connection) -> T:
            usages, answer = decide([_read(db, name) for name in names])
            for name, usage in zip(names, usages, strict=True):
                db.execute(_WRITE, (*name, *usage))
            return answer

        return self._file.change(work)

    def forget(self, tenant: str, key_id: str, kinds: tuple[str, str], keep_ms: tuple[int, int]) -> None:
        """Remove the buckets of one owner and a range of kinds, but for those with a time to keep."""

        def work(db: apsw.Connection) -> None:
            db.execute(_FORGET, (tenant, key_id, *kinds, *keep_ms))

        self._file.change(work)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _read(db: apsw.Connection, name: BucketName) -> Usage:
    row = db.execute(_READ, name).fetchone()
    return Usage() if row is None else Usage(*row)
