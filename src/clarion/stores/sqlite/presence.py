"""Who is connected, in `presence.db`, shared by all processes on one machine.

The file is written on the event loop and never fsynced: what a power cut loses, gateways record again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from clarion.domain.limits_processes import QUOTA_STORE_WAIT_MS
from clarion.ports.presence import Connected, User
from clarion.stores.sqlite.connection import fetch_all
from clarion.stores.sqlite.migrate import path_of
from clarion.stores.sqlite.volatile_file import VolatileFile

_LAYOUT: Final = 1
_CREATE: Final = """
CREATE TABLE presence_gateways (gateway TEXT PRIMARY KEY, expires_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE presence (
    tenant TEXT NOT NULL, user_id TEXT NOT NULL, gateway TEXT NOT NULL, connections INTEGER NOT NULL,
    PRIMARY KEY (tenant, user_id, gateway)) WITHOUT ROWID;
CREATE INDEX presence_by_gateway ON presence (gateway)
"""
_NOW: Final = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
_LAPSED: Final = f"DELETE FROM presence_gateways WHERE expires_ms <= {_NOW} AND gateway <> ?"  # noqa: S608
_LEFT: Final = "DELETE FROM presence WHERE gateway NOT IN (SELECT gateway FROM presence_gateways)"
_KNOWN: Final = "SELECT EXISTS (SELECT 1 FROM presence_gateways WHERE gateway = ?)"
_RENEW: Final = f"INSERT OR REPLACE INTO presence_gateways VALUES (?1, {_NOW} + ?2)"  # noqa: S608
_RECORD: Final = "INSERT OR REPLACE INTO presence VALUES (?, ?, ?, ?)"
_REMOVE: Final = "DELETE FROM presence WHERE tenant = ? AND user_id = ? AND gateway = ?"
_PRESENT: Final = f"""SELECT ?1, ?2, sum(connections) FROM presence JOIN presence_gateways USING (gateway)
    WHERE tenant = ?1 AND user_id = ?2 AND expires_ms > {_NOW} HAVING sum(connections) > 0"""  # noqa: S608
_GATEWAYS: Final = f"SELECT count(*) FROM presence_gateways WHERE expires_ms > {_NOW}"  # noqa: S608


class SqlitePresence:
    """Implements `ports/presence.py`. Used by one thread at a time."""

    def __init__(self, data_dir: Path) -> None:
        self._file = VolatileFile(path_of(data_dir, "presence"), "presence", _LAYOUT, _CREATE, QUOTA_STORE_WAIT_MS)

    async def renew(self, gateway: str, ttl_ms: int) -> bool:
        """Record that a gateway is at work."""

        def work(db: apsw.Connection) -> bool:
            known = bool(fetch_all(db, _KNOWN, (gateway,))[0][0])
            db.execute(_RENEW, (gateway, ttl_ms))
            db.execute(_LAPSED, (gateway,))
            if db.changes():
                db.execute(_LEFT)
            return known

        return self._file.change(work)

    async def record(self, gateway: str, changes: Sequence[Connected]) -> None:
        """Record connections of users at a gateway."""

        def work(db: apsw.Connection) -> None:
            db.executemany(_RECORD, [(one.tenant, one.user_id, gateway, one.connections) for one in changes])
            db.executemany(_REMOVE, [(one.tenant, one.user_id, gateway) for one in changes if not one.connections])

        self._file.change(work)

    async def present(self, users: Sequence[User]) -> Mapping[User, int]:
        """Return those of the users who are connected."""
        rows: list[tuple[Any, ...]] = self._file.read(lambda db: db.executemany(_PRESENT, users).fetchall())
        return {(tenant, user_id): total for tenant, user_id, total in rows}

    async def gateways(self) -> int:
        """Return how many gateways are at work."""
        found: int = self._file.read(lambda db: fetch_all(db, _GATEWAYS))[0][0]
        return found

    async def withdraw(self, gateway: str) -> None:
        """Forget a gateway and its users."""

        def work(db: apsw.Connection) -> None:
            db.execute("DELETE FROM presence_gateways WHERE gateway = ?", (gateway,))
            db.execute("DELETE FROM presence WHERE gateway = ?", (gateway,))

        self._file.change(work)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
