"""What lies after the positions of many users, read in one turn of the store's thread. What is shared by users of a tenant is
read once."""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

import apsw

from clarion.domain.ids import notification_of
from clarion.domain.inbox import Horizon, Item, Mark, Position
from clarion.domain.limits_processes import INBOX_MISSED_MAX
from clarion.ports.inbox_feed import Missed, Wanted
from clarion.stores.sqlite.connection import fetch_all
from clarion.stores.sqlite.state_items import (
    EPOCH,
    HORIZON,
    ITEM_COLUMNS,
    MARK_COLUMNS,
    SHARED,
    WITHDRAWN,
    Chunks,
    item_of,
)

_OWN: Final = "SELECT coalesce((SELECT own_seq FROM inbox_users WHERE tenant = ? AND user_id = ?), 0)"
# The newest items, at most as many as the own sequence has moved.
_ITEMS: Final = f"""SELECT ?5, {ITEM_COLUMNS} FROM inbox_items WHERE tenant = ?1 AND user_id = ?2 AND own_seq <= ?3
    ORDER BY shared_seq DESC, own_seq DESC LIMIT ?4"""  # noqa: S608
_HAS_WITHDRAWALS: Final = "SELECT EXISTS (SELECT 1 FROM inbox_withdrawals WHERE tenant = ?)"
_MARKS: Final = f"""SELECT {MARK_COLUMNS} FROM inbox_marks WHERE tenant = ? AND user_id = ? AND seq > ? AND seq <= ?
    ORDER BY item_id LIMIT {INBOX_MISSED_MAX + 1}"""  # noqa: S608
_SPANS: Final = """SELECT broadcast_id, widest, min_ordinal, max_ordinal FROM broadcast_spans
    WHERE tenant = ? AND channel = 'inapp' AND last_seq > ?"""
_WITHDRAWALS: Final = f"""SELECT notification_id FROM inbox_withdrawals WHERE tenant = ? AND seq > ? AND seq <= ?
    ORDER BY notification_id LIMIT {INBOX_MISSED_MAX + 1}"""  # noqa: S608


_PLACE: Final = attrgetter("place")


class Shared(NamedTuple):
    """What the users of a tenant have in common, read once for each position."""

    spans: Callable[[str, int], list[tuple[Any, ...]]]
    withdrawals: Callable[[str, int, int], list[bytes]]
    has_withdrawals: Callable[[str], bool]
    is_withdrawn: Callable[[str, bytes], bool]
    chunks: Chunks


def positions(db: apsw.Connection, users: Sequence[tuple[str, str]]) -> list[Position]:
    """Return where the inboxes of users are."""
    epoch = fetch_all(db, EPOCH)[0][0]
    shared = {tenant: fetch_all(db, SHARED, (tenant,))[0][0] for tenant in {tenant for tenant, _ in users}}
    own = db.executemany(_OWN, users)
    return [Position(epoch, row[0], shared[tenant]) for row, (tenant, _) in zip(own, users, strict=True)]


def missed(db: apsw.Connection, wanted: Sequence[Wanted]) -> list[Missed]:
    """Return for each user what changed between two positions."""
    shared = Shared(
        cache(lambda tenant, seq: fetch_all(db, _SPANS, (tenant, seq))),
        cache(lambda tenant, seq, last: [row[0] for row in fetch_all(db, _WITHDRAWALS, (tenant, seq, last))]),
        cache(lambda tenant: bool(fetch_all(db, _HAS_WITHDRAWALS, (tenant,))[0][0])),
        cache(lambda tenant, id_: bool(fetch_all(db, WITHDRAWN, (tenant, id_)))),
        Chunks(db),
    )
    own = _own_items(db, wanted)
    return [_missed(db, one, own.get(number, []), shared) for number, one in enumerate(wanted)]


def _own_items(db: apsw.Connection, wanted: Sequence[Wanted]) -> dict[int, list[Item]]:
    """Return the own items of users, by their number."""
    newest = (
        (one.tenant, one.user_id, one.now.own, min(one.now.own - one.position.own, INBOX_MISSED_MAX + 1), number)
        for number, one in enumerate(wanted)
        if one.position.precedes(one.now) and one.now.own > one.position.own
    )
    found: dict[int, list[Item]] = {}
    for number, *row in db.executemany(_ITEMS, newest):
        item = item_of(row)
        if wanted[number].covers(item.place):
            found.setdefault(number, []).append(item)
    return found


def _missed(db: apsw.Connection, wanted: Wanted, items: list[Item], shared: Shared) -> Missed:
    tenant, user_id, ordinal, before, now = wanted
    if not before.precedes(now):
        return Missed(now, reload=True)
    all_items = now.own - before.own == len(items) <= INBOX_MISSED_MAX
    if all_items and now.shared == before.shared:
        kept, dropped = _kept(tenant, items, shared)
        return Missed(now, False, kept, dropped=dropped)
    marks: list[Mark] = []
    horizon = None
    if not all_items:
        marks = [Mark(*row) for row in fetch_all(db, _MARKS, (tenant, user_id, before.own, now.own))]
        horizon = next((Horizon(*row) for row in fetch_all(db, HORIZON, (tenant, user_id))), None)
    spans: list[tuple[Any, ...]] = []
    withdrawn: list[bytes] = []
    if now.shared > before.shared:
        withdrawn = shared.withdrawals(tenant, before.shared, now.shared)
        if ordinal is not None:
            spans = [span for span in shared.spans(tenant, before.shared) if span[2] <= ordinal <= span[3]]
    if max(len(items), len(marks), len(spans), len(withdrawn)) > INBOX_MISSED_MAX:
        return Missed(now, reload=True)
    if spans:
        found = (shared.chunks.find(tenant, user_id, ordinal or 0, id_, widest) for id_, widest, *_ in spans)
        items += [item for item in found if item and wanted.covers(item.place)]
    kept, dropped = _kept(tenant, items, shared)
    moved = horizon if horizon is not None and before.own < horizon.seq <= now.own else None
    return Missed(now, False, kept, marks, moved, withdrawn, dropped)


def _kept(tenant: str, items: Sequence[Item], shared: Shared) -> tuple[list[Item], list[str]]:
    """Return items in the order of their arrival, without those of withdrawn notifications, and the collapse keys of these."""
    dropped: list[str] = []
    if shared.has_withdrawals(tenant):
        withdrawn = {item.item_id for item in items if shared.is_withdrawn(tenant, notification_of(item.item_id))}
        dropped = [item.collapse_key for item in items if item.item_id in withdrawn and item.collapse_key]
        items = [item for item in items if item.item_id not in withdrawn]
    return sorted(items, key=_PLACE), dropped
