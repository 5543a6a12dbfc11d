"""Leases with fences, inside the writer's transaction.

A lease expires on monotonic time: on Linux that clock is the machine's, shared by all processes and untouched by steps
of the wall clock. It stops while the machine sleeps, as do all holders. After a reboot it restarts, so a lease that
would run longer than `LEASE_TTL_MS_MAX` is from before the reboot and counts as expired.
"""

import json
from collections.abc import Collection, Iterable

import apsw

from clarion.domain.errors import StaleLease
from clarion.domain.limits_processes import LEASE_TTL_MS_MAX
from clarion.journal.topics import GROUP_TOPICS
from clarion.ports.stage_store import Lease
from clarion.stores.sqlite.connection import fetch_one

_SELECT = 'SELECT owner, fence, expires_monotonic_ms FROM leases WHERE "group" = ? AND partition = ?'
_UPSERT = """INSERT INTO leases ("group", partition, owner, fence, expires_monotonic_ms) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET owner = excluded.owner, fence = excluded.fence,
    expires_monotonic_ms = excluded.expires_monotonic_ms"""
_EXPIRE = 'UPDATE leases SET expires_monotonic_ms = ? WHERE "group" = ? AND partition = ? AND owner = ? AND fence = ?'
_STREAM = "INSERT OR IGNORE INTO streams (topic, partition) VALUES (?, ?)"
_VACATE = """UPDATE leases SET expires_monotonic_ms = 0
    WHERE owner IN (SELECT value FROM json_each(?)) AND expires_monotonic_ms > ? AND expires_monotonic_ms <= ?"""


def acquire(
    db: apsw.Connection, group: str, partition: int, owner: str, ttl_ms: int, monotonic_ms: int
) -> Lease | None:
    """Return a lease that was free, expired or the owner's own, with its fence increased by one; None while another
    owner holds it."""
    expires_ms = _expiry(ttl_ms, monotonic_ms)
    row = fetch_one(db, _SELECT, (group, partition))
    if row is not None and row[0] != owner and _runs(row[2], monotonic_ms):
        return None
    fence = 1 if row is None else row[1] + 1
    db.execute(_UPSERT, (group, partition, owner, fence, expires_ms))
    # Readers look up missing streams at every read, so create them now.
    db.executemany(_STREAM, [(topic, partition) for topic in GROUP_TOPICS.get(group, ())])
    return Lease(group, partition, owner, fence)


def renew(db: apsw.Connection, leases: Iterable[Lease], ttl_ms: int, monotonic_ms: int) -> list[Lease]:
    """Extend leases that are still held and return them."""
    expires_ms = _expiry(ttl_ms, monotonic_ms)
    held = [lease for lease in leases if _held(db, lease, monotonic_ms)]
    db.executemany(_EXPIRE, [(expires_ms, *_key(lease)) for lease in held])
    return held


def release(db: apsw.Connection, leases: Iterable[Lease]) -> None:
    """Expire leases at once; the rows stay, so that fences keep growing."""
    db.executemany(_EXPIRE, [(0, *_key(lease)) for lease in leases])


def vacate(db: apsw.Connection, owners: Collection[str], monotonic_ms: int) -> int:
    """Expire the leases of these owners at once and return how many had not expired yet."""
    db.execute(_VACATE, (json.dumps(list(owners)), monotonic_ms, monotonic_ms + LEASE_TTL_MS_MAX))
    return db.changes()


def check(db: apsw.Connection, leases: Iterable[Lease], monotonic_ms: int) -> None:
    """Raise `StaleLease` unless every lease is held and has not expired."""
    for lease in leases:
        if not _held(db, lease, monotonic_ms):
            raise StaleLease(f"{lease.owner} no longer holds {lease.group}/{lease.partition} (fence {lease.fence})")


def _held(db: apsw.Connection, lease: Lease, monotonic_ms: int) -> bool:
    row = fetch_one(db, _SELECT, (lease.group, lease.partition))
    return row is not None and row[:2] == (lease.owner, lease.fence) and _runs(row[2], monotonic_ms)


def _runs(expires_ms: int, monotonic_ms: int) -> bool:
    return monotonic_ms < expires_ms <= monotonic_ms + LEASE_TTL_MS_MAX


def _expiry(ttl_ms: int, monotonic_ms: int) -> int:
    if not 0 < ttl_ms <= LEASE_TTL_MS_MAX:
        raise ValueError(f"a lease runs 1 to {LEASE_TTL_MS_MAX} ms, not {ttl_ms}")
    return monotonic_ms + ttl_ms


def _key(lease: Lease) -> tuple[str, int, str, int]:
    return lease.group, lease.partition, lease.owner, lease.fence
