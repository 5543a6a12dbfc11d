"""The processes at work on the journal, and up to which feature level they read, inside the writer's transaction. They expire on
monotonic time, as leases do."""

from typing import Final

import apsw

from clarion.domain.limits_processes import ENROLLED_MS, LEASE_TTL_MS_MAX
from clarion.ports.feature_level import check_enrolled
from clarion.stores.sqlite.connection import fetch_one

LEVEL: Final = "SELECT coalesce((SELECT value FROM meta WHERE name = 'feature_level'), 0)"
BEGIN: Final = "INSERT OR IGNORE INTO meta (name, value) VALUES ('feature_level', ?)"
"""Sets the level of a new journal, which no older build has open."""
_EXPIRE: Final = "DELETE FROM processes WHERE expires_monotonic_ms <= ? OR expires_monotonic_ms > ?"
_ENROLL: Final = """INSERT INTO processes (process, level, expires_monotonic_ms) VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET level = excluded.level, expires_monotonic_ms = excluded.expires_monotonic_ms"""
_SILENT: Final = """SELECT 1 FROM leases WHERE expires_monotonic_ms > ? AND expires_monotonic_ms <= ?
    AND owner NOT IN (SELECT process FROM processes) LIMIT 1"""
_RAISE: Final = """INSERT INTO meta (name, value) SELECT 'feature_level', min(level) FROM processes WHERE true
    ON CONFLICT DO UPDATE SET value = max(value, excluded.value)"""


def enroll(db: apsw.Connection, process: str, level: int, ttl_ms: int, monotonic_ms: int) -> int:
    """Enroll a process unless it reads less than what may be written, and return the level of the store."""
    check_enrolled(ttl_ms)
    if level >= _level(db):
        db.execute(_EXPIRE, (monotonic_ms, monotonic_ms + ENROLLED_MS))
        db.execute(_ENROLL, (process, level, monotonic_ms + ttl_ms))
        if fetch_one(db, _SILENT, (monotonic_ms, monotonic_ms + LEASE_TTL_MS_MAX)) is None:
            db.execute(_RAISE)
    return _level(db)


def withdraw(db: apsw.Connection, process: str) -> None:
    """Forget a process."""
    db.execute("DELETE FROM processes WHERE process = ?", (process,))


def _level(db: apsw.Connection) -> int:
    row = fetch_one(db, LEVEL)
    return int(row[0]) if row is not None else 0
