"""The rows that one fold writes, as the arguments of the server's function `fold_store`.

Rows of each kind are sorted by their keys, so that concurrent folds lock rows in one order; a kind without rows is None.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import astuple, replace

from clarion.domain.history import (
    INSTANCE_ENDINGS,
    Attempt,
    Changes,
    Chunk,
    ChunkState,
    Delivery,
    Instance,
    Notification,
    Progress,
)
from clarion.domain.ids import notification_of
from clarion.domain.limits_delivery import RECEIPTS_KEPT_MAX
from clarion.ports.receipt_lookup import BY_VENDOR_ID, REPEATABLE
from clarion.ports.state import Advance
from clarion.stores.postgres.tenancy import NO_TENANT, SCOPE, Tenants

Row = tuple[Any, ...]
Rows = list[Row] | None

FOLD: Final = f"SELECT fold_store_placed({', '.join(f'${number}' for number in range(1, 27))}) WHERE {SCOPE}"
"""The statement that stores the rows of `fold_rows`."""
_TENANT: Final = (None, 0, 2, 1, 1, 0, 1, 1, None, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, None)
"""The column of the tenant in the rows of each argument."""


def fold_rows(changes: Changes, advances: Sequence[Advance], messages: Sequence[str] = ()) -> list[Any]:
    """Return the arguments of `FOLD`; `messages` are sent to other processes with it."""
    fresh, known = _split(changes.deliveries, changes.new)
    fresh_states, known_states = _split(changes.chunk_states, changes.new)
    attempts, receipts = _attempts(changes.attempts)
    return [
        _sorted(map(_advance, advances), 1),
        _notifications(changes.notifications),
        _sorted(_request_facts(changes), 3),
        fresh,
        known,
        _vendor_ids(changes.deliveries.values()),
        attempts,
        receipts,
        RECEIPTS_KEPT_MAX,
        _sorted(map(_chunk, changes.chunks), 2),
        fresh_states,
        known_states,
        _sorted(((*key, count) for key, count in changes.totals.items() if count), 5),
        _sorted(map(astuple, changes.inbox_items), 2),
        _sorted(map(astuple, changes.captures), 3),
        _sorted(_replays(changes.replays), 2),
        _sorted(map(astuple, changes.dead_letters.values()), 2),
        _sorted(changes.cancellations, 2),
        _seen_receipts(changes.seen_receipts),
        *_progress(changes.progress),
        [astuple(row) for row in changes.health_changes] or None,
        _sorted(((key[1], key[0], *key[2:], count) for key, count in changes.counters.items()), 5),
        _sorted(((*one, notification_of(one.chunk_id)) for one in changes.arrivals.values()), 2),
        _sorted(changes.collapses, 3),
        tuple(messages) or None,
    ]


def fold_tenants(arguments: Sequence[Any]) -> Tenants:
    """Return the tenants of the arguments of `FOLD`."""
    found = {
        row[column]
        for rows, column in zip(arguments, _TENANT, strict=True)
        if rows is not None and column is not None
        for row in rows
    }
    return found or NO_TENANT


def without_nul(arguments: Iterable[Any]) -> list[Any]:
    """Return arguments with U+FFFD for each character NUL, which text of PostgreSQL cannot hold."""
    return [
        [tuple(v.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(v, str) else v for v in row) for row in rows]
        if isinstance(rows, list)
        else rows
        for rows in arguments
    ]


def _sorted(rows: Iterable[Row], key: int) -> Rows:
    """Return rows in the order of their first `key` columns; of the same key, the first stays first."""
    return sorted(rows, key=lambda row: row[:key]) or None


def _advance(advance: Advance) -> Row:
    numbers = msgspec.msgpack.encode(dict(advance.numbers)) if advance.numbers else None
    return advance.partition, advance.from_offset, advance.offset, advance.fence, numbers


def _request_facts(changes: Changes) -> Iterable[Row]:
    """Return shared facts for each tenant with a delivery that was decided from them."""
    used = {(row.setting, row.tenant) for row in changes.deliveries.values() if row.setting is not None}
    return ((digest, changes.settings[digest], tenant) for digest, tenant in used if digest in changes.settings)


def _notifications(rows: Sequence[Notification]) -> Rows:
    """Return each notification once: the first row of it, with the first time of planning and of schedule in any."""
    merged: dict[tuple[str, bytes], Notification] = {}
    for row in rows:
        before = merged.get((row.tenant, row.id))
        if before is not None:
            row = replace(
                before,
                planned_ms=row.planned_ms if before.planned_ms is None else before.planned_ms,
                scheduled_ms=row.scheduled_ms if before.scheduled_ms is None else before.scheduled_ms,
            )
        merged[row.tenant, row.id] = row
    return _sorted(map(astuple, merged.values()), 2)


def _split(rows: Mapping[bytes, Delivery | ChunkState], new: Collection[bytes]) -> tuple[Rows, Rows]:
    """Return rows that were assumed to be new, and all others."""
    fresh: list[Row] = []
    known: list[Row] = []
    for id_ in sorted(rows):
        (fresh if id_ in new else known).append(astuple(rows[id_]))
    return fresh or None, known or None


def _vendor_ids(rows: Iterable[Delivery]) -> Rows:
    ids = {
        (row.tenant, row.vendor, row.vendor_message_id): row.id
        for row in rows
        if row.vendor in BY_VENDOR_ID and row.vendor_message_id
    }
    return sorted((*key, id_) for key, id_ in ids.items()) or None


def _attempts(rows: Iterable[Attempt]) -> tuple[Rows, Rows]:
    """Return attempts, the newest of each key, and the receipts that may arrive repeatedly, in their order."""
    newest = {
        (row.delivery_id, row.tenant, row.attempt, row.finished_ms, row.event): row
        for row in rows
        if row.event not in REPEATABLE
    }
    receipts = [astuple(row) for row in rows if row.event in REPEATABLE]
    return [astuple(row) for row in newest.values()] or None, receipts or None


def _chunk(chunk: Chunk) -> Row:
    return *astuple(chunk), notification_of(chunk.chunk_id)


def _replays(rows: Iterable[tuple[int, str, bytes]]) -> Iterable[Row]:
    """Return each replayed letter once, with the newest time."""
    newest = {(tenant, id_): at_ms for at_ms, tenant, id_ in rows}
    return ((*key, at_ms) for key, at_ms in newest.items())


def _seen_receipts(rows: Iterable[tuple[str, bytes, str, int]]) -> Rows:
    times: dict[tuple[str, bytes, str], tuple[int, int]] = {}
    for tenant, id_, user_id, at_ms in rows:
        first_ms, last_ms = times.get((tenant, id_, user_id), (at_ms, at_ms))
        times[tenant, id_, user_id] = (first_ms, max(last_ms, at_ms))
    return sorted((*key, *both) for key, both in times.items()) or None


def _progress(rows: Sequence[Progress]) -> tuple[Rows, Rows]:
    """Return the resulting state of each instance, and its events in order."""
    states: dict[tuple[bytes, str], Instance] = {}
    for row in rows:
        before = states.get((row.instance_id, row.tenant))
        if before is None or before.ended_ms is None:
            states[row.instance_id, row.tenant] = _instance(row, row.at_ms if before is None else before.started_ms)
    events = [(row.instance_id, row.tenant, row.at_ms, row.step, row.event, row.detail) for row in rows]
    return _sorted(map(astuple, states.values()), 2), events or None


def _instance(row: Progress, started_ms: int) -> Instance:
    ended_ms = row.at_ms if row.event in INSTANCE_ENDINGS else None
    state = row.event if ended_ms is not None or row.event == "waiting" else "running"
    return Instance(
        row.instance_id, row.tenant, row.notification_id, row.user_id, row.workflow, row.version, row.step, state,
        started_ms, ended_ms, row.detail,
    )  # fmt: skip
