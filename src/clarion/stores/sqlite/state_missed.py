"""What lies after the positions of many users, read in one turn of the store's thread. What is shared by users of a tenant is
read once."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import apsw

from clarion.domain.ids import notification_of
from clarion.domain.inbox import Horizon, Item, Mark, Place, Position
from clarion.domain.limits_processes import INBOX_MISSED_MAX
from clarion.ports.inbox_feed import Missed, Wanted
from clarion.stores.sqlite.connection import fetch_all
from clarion.stores.sqlite.state_items import HEAD, HORIZON, ITEM_COLUMNS, MARK_COLUMNS, WITHDRAWN, Chunks, item_of

# The newest items, at most as many as the own sequence has moved.
_ITEMS: Final = f"""SELECT {ITEM_COLUMNS} FROM inbox_items WHERE tenant = ? AND user_id = ? AND own_seq <= ?
    ORDER BY shared_seq DESC, own_seq DESC LIMIT ?"""  # noqa: S608
_MARKS: Final = f"""SELECT {MARK_COLUMNS} FROM inbox_marks WHERE tenant = ? AND user_id = ? AND seq > ? AND seq <= ?
    ORDER BY item_id LIMIT {INBOX_MISSED_MAX + 1}"""  # noqa: S608
_SPANS: Final = """SELECT broadcast_id, widest, min_ordinal, max_ordinal FROM broadcast_spans
    WHERE tenant = ? AND channel = 'inapp' AND last_seq > ?"""
_WITHDRAWALS: Final = f"""SELECT notification_id FROM inbox_withdrawals WHERE tenant = ? AND seq > ? AND seq <= ?
    ORDER BY notification_id LIMIT {INBOX_MISSED_MAX + 1}"""  # noqa: S608


class Shared(NamedTuple):
    """What the users of a tenant have in common, read once for each position."""

    spans: Callable[[str, int], list[tuple[Any, ...]]]
    withdrawals: Callable[[str, int, int], list[bytes]]
    is_withdrawn: Callable[[str, bytes], bool]
    chunks: Chunks


def missed(db: apsw.Connection, wanted: Sequence[Wanted]) -> list[Missed]:
    """Return for each user what changed after the position. Where all of them stand is read first: what is read afterwards holds
    everything up to there, whatever is committed meanwhile."""
    heads = [Position(*fetch_all(db, HEAD, (one.tenant, one.user_id))[0]) for one in wanted]
    shared = Shared(
        cache(lambda tenant, seq: fetch_all(db, _SPANS, (tenant, seq))),
        cache(lambda tenant, seq, last: [row[0] for row in fetch_all(db, _WITHDRAWALS, (tenant, seq, last))]),
        cache(lambda tenant, id_: bool(fetch_all(db, WITHDRAWN, (tenant, id_)))),
        Chunks(db),
    )
    return [_missed(db, one, now, shared) for one, now in zip(wanted, heads, strict=True)]


def _missed(db: apsw.Connection, wanted: Wanted, now: Position, shared: Shared) -> Missed:
    tenant, user_id, ordinal, before = wanted
    if not before.precedes(now):
        return Missed(now, reload=True)
    items: list[Item] = []
    marks: list[Mark] = []
    horizon = None
    if now.own > before.own:
        newest = (tenant, user_id, now.own, min(now.own - before.own, INBOX_MISSED_MAX + 1))
        items += (item for item in map(item_of, fetch_all(db, _ITEMS, newest)) if not before.passed(item.place))
        marks += (Mark(*row) for row in fetch_all(db, _MARKS, (tenant, user_id, before.own, now.own)))
        horizon = next((Horizon(*row) for row in fetch_all(db, HORIZON, (tenant, user_id))), None)
    spans: list[tuple[Any, ...]] = []
    withdrawn: list[bytes] = []
    if now.shared > before.shared:
        withdrawn = shared.withdrawals(tenant, before.shared, now.shared)
        if ordinal is not None:
            spans = [span for span in shared.spans(tenant, before.shared) if span[2] <= ordinal <= span[3]]
    if max(len(items), len(marks), len(spans), len(withdrawn)) > INBOX_MISSED_MAX:
        return Missed(now, reload=True)
    found = (shared.chunks.find(tenant, user_id, ordinal or 0, id_, widest) for id_, widest, *_ in spans)
    items = [item for item in (*items, *(one for one in found if one)) if _is_between(before, now, item.place)]
    items = [item for item in items if not shared.is_withdrawn(tenant, notification_of(item.item_id))]
    items.sort(key=lambda item: item.place)
    moved = horizon if horizon is not None and before.own < horizon.seq <= now.own else None
    return Missed(now, False, items, marks, moved, withdrawn)


def _is_between(before: Position, now: Position, place: Place) -> bool:
    """Return whether an item arrived after one position and up to another: what arrives meanwhile belongs to the next
    read."""
    return not before.passed(place) and now.passed(place)
