"""The part of a fold that gives places in inboxes: rows of users and tenants count, in the order of their keys."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import apsw

from clarion.domain.history import Arrival, Chunk, InboxItem
from clarion.domain.ids import notification_of
from clarion.stores.sqlite.connection import fetch_all, fetch_one

INAPP: Final = "inapp"

_OWN_STEPS: Final = """INSERT INTO inbox_users VALUES (?, ?, ?)
    ON CONFLICT DO UPDATE SET own_seq = own_seq + excluded.own_seq RETURNING own_seq"""
_SHARED_STEPS: Final = """INSERT INTO inbox_tenants VALUES (?, ?)
    ON CONFLICT DO UPDATE SET shared_seq = shared_seq + excluded.shared_seq RETURNING shared_seq"""
_SHARED: Final = "SELECT shared_seq FROM inbox_tenants WHERE tenant = ?"
_ITEM: Final = """INSERT OR IGNORE INTO inbox_items
    (tenant, user_id, item_id, created_ms, content, category, expires_ms, collapse_key, shared_seq, own_seq)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_CHUNK_SPAN: Final = "INSERT OR IGNORE INTO chunk_spans VALUES (?, ?, ?, ?, ?, ?, ?)"
_BROADCAST_SPAN: Final = """INSERT INTO broadcast_spans VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    min_ordinal = min(min_ordinal, excluded.min_ordinal), max_ordinal = max(max_ordinal, excluded.max_ordinal),
    widest = max(widest, excluded.widest), last_seq = max(last_seq, excluded.last_seq)"""
_ARRIVAL: Final = "INSERT INTO chunk_arrivals VALUES (?, ?, ?, ?, ?)"
_ARRIVED: Final = """UPDATE broadcast_spans SET last_seq = max(last_seq, ?)
    WHERE tenant = ? AND channel = 'inapp' AND broadcast_id = ?"""
_COLLAPSE: Final = "INSERT OR IGNORE INTO broadcast_collapses VALUES (?, ?, ?)"


def own_step(db: apsw.Connection, tenant: str, user_id: str, steps: int = 1) -> int:
    """Move a user's own sequence and return where it is."""
    found: int = fetch_all(db, _OWN_STEPS, (tenant, user_id, steps))[0][0]
    return found


def shared_step(db: apsw.Connection, tenant: str, steps: int = 1) -> int:
    """Move a tenant's shared sequence and return where it is."""
    found: int = fetch_all(db, _SHARED_STEPS, (tenant, steps))[0][0]
    return found


def store_items(db: apsw.Connection, items: Sequence[InboxItem]) -> None:
    """Store own items, each at the next place of its user."""
    if not items:
        return
    users: dict[tuple[str, str], list[InboxItem]] = {}
    for item in items:
        users.setdefault((item.tenant, item.user_id), []).append(item)
    shared: dict[str, int] = {}
    rows = []
    for (tenant, user_id), members in sorted(users.items()):
        if tenant not in shared:
            found = fetch_one(db, _SHARED, (tenant,))
            shared[tenant] = found[0] if found else 0
        first = own_step(db, tenant, user_id, len(members)) - len(members) + 1
        rows += [
            (
                tenant, user_id, one.item_id, one.created_ms, one.content, one.category, one.expires_ms,
                one.collapse_key, shared[tenant], seq,
            )
            for seq, one in enumerate(members, first)
        ]  # fmt: skip
    db.executemany(_ITEM, rows)


def store_spans(db: apsw.Connection, chunks: Sequence[Chunk], arrivals: Iterable[Arrival]) -> None:
    """Store where users find the chunks of broadcasts: by their ordinals and, in-app, at the next places of the
    tenant."""
    late = sorted(arrivals, key=lambda one: one.chunk_id)
    if not chunks and not late:
        return
    places = _places(db, [one.tenant for one in chunks if one.channel == INAPP] + [one.tenant for one in late])
    spans: dict[tuple[str, str, bytes], tuple[int, int, int, int, int]] = {}
    rows = []
    for chunk in sorted(chunks, key=lambda one: one.chunk_id):
        broadcast, low, high = notification_of(chunk.chunk_id), chunk.min_ordinal, chunk.max_ordinal
        seq = next(places[chunk.tenant]) if chunk.channel == INAPP else 0
        rows.append((chunk.tenant, broadcast, chunk.channel, low, chunk.chunk_id, high, seq))
        key = (chunk.tenant, chunk.channel, broadcast)
        before = spans.get(key, (low, high, 0, seq, seq))
        spans[key] = (min(before[0], low), max(before[1], high), max(before[2], high - low), before[3], seq)
    db.executemany(_CHUNK_SPAN, sorted(rows))
    db.executemany(_BROADCAST_SPAN, [(*key, *span) for key, span in sorted(spans.items())])
    for one in late:
        seq = next(places[one.tenant])
        db.execute(_ARRIVAL, (one.chunk_id, one.tenant, seq, one.at_ms, one.members))
        db.execute(_ARRIVED, (seq, one.tenant, notification_of(one.chunk_id)))


def store_collapses(db: apsw.Connection, collapses: Iterable[tuple[str, str, bytes]]) -> None:
    """Store which broadcasts have a collapse key."""
    db.executemany(_COLLAPSE, collapses)


def _places(db: apsw.Connection, tenants: Sequence[str]) -> dict[str, Iterator[int]]:
    found = {}
    for tenant in sorted(set(tenants)):
        steps = tenants.count(tenant)
        last = shared_step(db, tenant, steps)
        found[tenant] = iter(range(last - steps + 1, last + 1))
    return found
