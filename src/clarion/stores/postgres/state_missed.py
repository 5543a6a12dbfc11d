"""What lies after the positions of many users: a bounded number of statements, however many users there are."""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from clarion.domain.ids import notification_of
from clarion.domain.inbox import Horizon, Item, Mark, Position
from clarion.domain.limits_processes import INBOX_MISSED_MAX
from clarion.ports.inbox_feed import Missed, Wanted
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.sql_files import sql
from clarion.stores.postgres.state_items import STATES, epoch_of, item_of, shown

T = TypeVar("T")

_POSITIONS: Final = """SELECT (SELECT epoch FROM inbox_epochs) AS epoch, coalesce(u.own_seq, 0) AS own,
    coalesce(t.shared_seq, 0) AS shared
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (tenant, user_id, nr)
    LEFT JOIN inbox_users AS u ON u.tenant = w.tenant AND u.user_id = w.user_id
    LEFT JOIN inbox_tenants AS t ON t.tenant = w.tenant ORDER BY w.nr"""
_HORIZONS: Final = """SELECT w.nr, h.own_seq, h.shared_seq, h.at_ms, h.seq
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS w (tenant, user_id, nr)
    JOIN inbox_horizons AS h ON h.tenant = w.tenant AND h.user_id = w.user_id"""
_ITEMS: Final = sql("state_missed_items")
_MARKS: Final = """SELECT w.nr, m.item_id, m.seen_ms, m.read_ms, m.archived_ms, m.snoozed_ms, m.deleted_ms, m.read_seq
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
        WITH ORDINALITY AS w (tenant, user_id, own, last, nr)
    CROSS JOIN LATERAL (SELECT * FROM inbox_marks AS s WHERE s.tenant = w.tenant AND s.user_id = w.user_id
        AND s.seq > w.own AND s.seq <= w.last ORDER BY s.item_id LIMIT $5) AS m ORDER BY m.item_id"""
_BROADCASTS: Final = sql("state_missed_broadcasts")
_WITHDRAWALS: Final = """SELECT w.nr, x.notification_id
    FROM unnest($1::text[], $2::bigint[], $3::bigint[]) WITH ORDINALITY AS w (tenant, shared, last, nr)
    CROSS JOIN LATERAL (SELECT s.notification_id FROM inbox_withdrawals AS s WHERE s.tenant = w.tenant
        AND s.seq > w.shared AND s.seq <= w.last ORDER BY s.seq LIMIT $4) AS x ORDER BY x.notification_id"""
_WITHDRAWN: Final = """SELECT DISTINCT s.tenant, s.notification_id FROM inbox_withdrawals AS s
    JOIN unnest($1::text[], $2::bytea[]) AS w (tenant, id) ON s.tenant = w.tenant AND s.notification_id = w.id"""


async def positions(database: Database, users: Sequence[tuple[str, str]]) -> list[Position]:
    """Return where the inboxes of users are."""
    if not users:
        return []
    columns = [tenant for tenant, _ in users], [user_id for _, user_id in users]
    rows = await database.fetch(set(columns[0]), _POSITIONS, *columns)
    return [Position(epoch_of(epoch, database.timeline), own, shared) for epoch, own, shared in rows]


async def missed(database: Database, wanted: Sequence[Wanted]) -> list[Missed]:
    """Return for each user what changed between two positions."""
    read = _Read(database, wanted)
    await read.changes()
    return [read.result(number) for number in range(len(wanted))]


class _Read:
    """One call: what was read about each user, by its number."""

    def __init__(self, database: Database, wanted: Sequence[Wanted]) -> None:
        self._database = database
        self._wanted = wanted
        self._tenants = {one.tenant for one in wanted}
        self._horizons: dict[int, list[Horizon]] = {}
        self._items: dict[int, list[Item]] = {}
        self._marks: dict[int, list[Mark]] = {}
        self._broadcasts: dict[int, list[Item | None]] = {}
        self._withdrawals: dict[int, list[bytes]] = {}
        self._withdrawn: set[tuple[str, bytes]] = set()

    async def changes(self) -> None:
        """Read what changed after positions that are known."""
        known = [number for number, one in enumerate(self._wanted) if one.position.precedes(one.now)]
        own = [number for number in known if self._wanted[number].now.own > self._wanted[number].position.own]
        shared = [number for number in known if self._wanted[number].now.shared > self._wanted[number].position.shared]
        stored = [number for number in shared if self._wanted[number].ordinal is not None]
        most = INBOX_MISSED_MAX + 1
        tenant, user = lambda n: self._wanted[n].tenant, lambda n: self._wanted[n].user_id
        own_seq, shared_seq = lambda n: self._wanted[n].position.own, lambda n: self._wanted[n].position.shared
        last_own, last_shared = lambda n: self._wanted[n].now.own, lambda n: self._wanted[n].now.shared
        self._items = await self._by_user(own, _ITEMS, item_of, (tenant, user, own_seq, last_own), (most,))
        # Where all steps of the sequence are items, nothing else has changed.
        marked = [number for number in own if self._steps(number) > len(self._items.get(number, ()))]
        self._marks = await self._by_user(
            marked, _MARKS, lambda row: Mark(*row), (tenant, user, own_seq, last_own), (most,)
        )
        self._horizons = await self._by_user(marked, _HORIZONS, lambda row: Horizon(*row), (tenant, user), ())
        values = (tenant, shared_seq, last_shared)
        self._withdrawals = await self._by_user(shared, _WITHDRAWALS, lambda row: row[0], values, (most,))
        await self._read_broadcasts(stored, most)
        arrived = {
            (self._wanted[number].tenant, notification_of(item.item_id))
            for number in known
            for item in self._arrived(number)
        }
        if arrived:
            pairs = sorted(arrived)
            rows = await self._rows(_WITHDRAWN, [tenant for tenant, _ in pairs], [id_ for _, id_ in pairs])
            self._withdrawn = {(row[0], row[1]) for row in rows}

    def result(self, number: int) -> Missed:
        """Return what one user missed."""
        tenant, _, _, before, now = self._wanted[number]
        counted = (self._items, self._marks, self._broadcasts, self._withdrawals)
        if not before.precedes(now) or max(len(found.get(number, ())) for found in counted) > INBOX_MISSED_MAX:
            return Missed(now, reload=True)
        items, dropped = list[Item](), list[str]()
        for item in sorted(self._arrived(number), key=lambda item: item.place):
            if (tenant, notification_of(item.item_id)) not in self._withdrawn:
                items.append(item)
            elif item.collapse_key:
                dropped.append(item.collapse_key)
        horizon = next(iter(self._horizons.get(number, ())), None)
        moved = horizon if horizon is not None and before.own < horizon.seq <= now.own else None
        marks, withdrawn = self._marks.get(number, []), self._withdrawals.get(number, [])
        return Missed(now, False, items, marks, moved, withdrawn, dropped)

    def _arrived(self, number: int) -> list[Item]:
        """Return what arrived for one user between the positions."""
        found = (*self._items.get(number, ()), *self._broadcasts.get(number, ()))
        return [item for item in found if item and self._wanted[number].covers(item.place)]

    def _steps(self, number: int) -> int:
        """Return by how much one user's own sequence has moved."""
        return self._wanted[number].now.own - self._wanted[number].position.own

    async def _read_broadcasts(self, numbers: list[int], most: int) -> None:
        if not numbers:
            return
        columns = [
            [self._wanted[number].tenant for number in numbers],
            [self._wanted[number].ordinal for number in numbers],
            STATES,
            [self._wanted[number].position.shared for number in numbers],
        ]
        for row in await self._rows(_BROADCASTS, *columns, most):
            number = numbers[row["nr"] - 1]
            self._broadcasts.setdefault(number, []).append(shown(row, self._wanted[number].user_id))

    async def _by_user(
        self,
        numbers: list[int],
        statement: str,
        value: Callable[[Any], T],
        columns: Sequence[Callable[[int], Any]],
        rest: tuple[Any, ...],
    ) -> dict[int, list[T]]:
        """Return values of the rows of a statement, by user."""
        found: dict[int, list[T]] = {}
        if numbers:
            for nr, *row in await self._rows(statement, *([column(n) for n in numbers] for column in columns), *rest):
                found.setdefault(numbers[nr - 1], []).append(value(row))
        return found

    async def _rows(self, statement: str, *values: Any) -> list[Any]:
        return await self._database.fetch(self._tenants, statement, *values)
