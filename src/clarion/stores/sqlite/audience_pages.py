"""Audiences in `control.db` by ordinal, in parts: all users of a tenant or a topic, or those that match a filter.

An unfiltered page of a tenant's users reads only the index `users_page`. A filter can match nobody and be expensive for
each user. So matching is a sequence of scans, each sized by the time that the previous one took.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from clarion.domain.limits_processes import SEGMENT_LOOK_MS, SEGMENT_SCAN_USERS_MAX
from clarion.ports.directory import UserPage
from clarion.stores.sqlite.segment_sql import SqlCondition

_COLUMNS: Final = frozenset(
    {"email", "phone", "whatsapp", "chat", "webhook", "devices", "attributes", "more_contacts"}
)  # fmt: skip
_PAGE: Final = "SELECT u.ordinal, u.user_id, u.profile_id, u.locale{columns} FROM {where} ORDER BY {ordinal} LIMIT ?"
_LAST: Final = "SELECT {ordinal} FROM {where} ORDER BY {ordinal} LIMIT 1 OFFSET ?"
_ORDINAL_MAX: Final = (1 << 63) - 1
_FIRST_LOOK_USERS: Final = 10

Rows: TypeAlias = Callable[[str, tuple[Any, ...]], list[Any]]
"""Runs a statement with its values and returns all rows."""


class Span(NamedTuple):
    """Users of an audience after an ordinal: FROM and WHERE, the values of the placeholders, and the ordinal's column."""

    where: str
    values: tuple[Any, ...]
    ordinal: str


class AudienceMatches(NamedTuple):
    """The matching users of a span, the most users scanned for it, and the ordinal to continue after (None: no users
    left)."""

    matched: Span
    users: int
    last: int | None


class AudienceReader:
    """Reads audiences with the caller's connection and clock (monotonic ms)."""

    def __init__(self, rows: Rows, monotonic_ms: Callable[[], int]) -> None:
        self._rows = rows
        self._monotonic_ms = monotonic_ms

    def page(
        self,
        tenant: str,
        topic: str | None,
        after: int,
        limit: int,
        columns: Sequence[str] = (),
        matching: SqlCondition | None = None,
    ) -> UserPage:
        """Return up to `limit` users of the tenant or topic with ordinals above `after`, with `matching` only those
        that match. A filtered page ends early once `SEGMENT_SCAN_USERS_MAX` users were scanned or `SEGMENT_LOOK_MS`
        have passed."""
        if matching is None:
            found = self.first(_span(tenant, topic, after), limit, columns)
            return UserPage(found, found[-1][0] if found else after, len(found) < limit, len(found))
        began_ms, scanned, found = self._monotonic_ms(), 0, []
        for matches in self.matches(tenant, topic, after, matching):
            found += self.first(matches.matched, limit - len(found), columns)
            scanned += matches.users
            if len(found) == limit:
                return UserPage(found, found[-1][0], False, limit)
            over = scanned >= SEGMENT_SCAN_USERS_MAX or self._monotonic_ms() - began_ms >= SEGMENT_LOOK_MS
            if matches.last is not None and over:
                return UserPage(found, matches.last, False, SEGMENT_SCAN_USERS_MAX)
        return UserPage(found, found[-1][0] if found else after, True, scanned)

    def matches(self, tenant: str, topic: str | None, after: int, matching: SqlCondition) -> Iterator[AudienceMatches]:
        """Yield the matching users, one span at a time. The caller reads each span before it asks for the next: the
        time this took determines the size of the next span."""
        users, last = min(_FIRST_LOOK_USERS, SEGMENT_SCAN_USERS_MAX), after
        while True:
            audience = _span(tenant, topic, last)
            ends = self._rows(
                _LAST.format(ordinal=audience.ordinal, where=audience.where), (*audience.values, users - 1)
            )
            where = f"{audience.where} AND {audience.ordinal} <= ? AND {matching.text}"
            values = (*audience.values, ends[0][0] if ends else _ORDINAL_MAX, *matching.values)
            began_ms = self._monotonic_ms()
            yield AudienceMatches(Span(where, values, audience.ordinal), users, ends[0][0] if ends else None)
            if not ends:
                return
            last = ends[0][0]
            took_ms = max(1, self._monotonic_ms() - began_ms)
            users = max(1, min(2 * users, users * SEGMENT_LOOK_MS // took_ms, SEGMENT_SCAN_USERS_MAX))

    def first(self, users: Span, limit: int, columns: Sequence[str] = ()) -> list[Any]:
        """Return the first rows, up to `limit`, with extra columns. Raises `ValueError` for an unknown column."""
        if not _COLUMNS.issuperset(columns):
            raise ValueError(f"unknown user columns: {sorted(set(columns) - _COLUMNS)}")
        names = "".join(f", u.{column}" for column in columns)
        return self._rows(_PAGE.format(columns=names, where=users.where, ordinal=users.ordinal), (*users.values, limit))


def _span(tenant: str, topic: str | None, after: int) -> Span:
    if topic is None:
        where = "users u INDEXED BY users_page WHERE u.tenant = ? AND u.ordinal > ?"
        return Span(where, (tenant, after), "u.ordinal")
    where = (
        "topic_members m CROSS JOIN users u ON u.ordinal = m.ordinal"
        " WHERE m.tenant = ? AND m.topic = ? AND m.ordinal > ?"
    )
    return Span(where, (tenant, topic, after), "m.ordinal")
