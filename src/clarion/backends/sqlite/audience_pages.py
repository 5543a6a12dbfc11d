"""Audiences in `control.db`, by ordinal and piece by piece: everyone of a tenant or a topic, all or those that match.

An unfiltered page of everyone reads the index `users_page` alone. A filter can match nobody, and can be dear to look at for
each user. So matching is a number of looks, each as large as the time that the one before took allows.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from clarion.backends.sqlite.segment_sql import Condition
from clarion.domain.limits_deciding import SEGMENT_LOOK_MS, SEGMENT_SCAN_USERS_MAX
from clarion.ports.directory import UserPage

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


class Look(NamedTuple):
    """Who matches among some users, up to how many were looked at, and the ordinal to go on after (None: nobody left)."""

    matched: Span
    users: int
    last: int | None


class AudienceReader:
    """Reads audiences with somebody's connection and clock (monotonic ms)."""

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
        matching: Condition | None = None,
    ) -> UserPage:
        """Return up to `limit` users of the tenant or topic with ordinals above `after`, those who match. A page of those
        ends early once it has looked at `SEGMENT_SCAN_USERS_MAX` users or for `SEGMENT_LOOK_MS`."""
        if matching is None:
            found = self.first(_span(tenant, topic, after), limit, columns)
            return UserPage(found, found[-1][0] if found else after, len(found) < limit, len(found))
        began_ms, looked_at, found = self._monotonic_ms(), 0, []
        for look in self.looks(tenant, topic, after, matching):
            found += self.first(look.matched, limit - len(found), columns)
            looked_at += look.users
            if len(found) == limit:
                return UserPage(found, found[-1][0], False, limit)
            over = looked_at >= SEGMENT_SCAN_USERS_MAX or self._monotonic_ms() - began_ms >= SEGMENT_LOOK_MS
            if look.last is not None and over:
                return UserPage(found, look.last, False, SEGMENT_SCAN_USERS_MAX)
        return UserPage(found, found[-1][0] if found else after, True, looked_at)

    def looks(self, tenant: str, topic: str | None, after: int, matching: Condition) -> Iterator[Look]:
        """Yield who matches, some users at a time. Whoever asks reads each part before the next: how long that took
        says how large the next one is."""
        users, last = min(_FIRST_LOOK_USERS, SEGMENT_SCAN_USERS_MAX), after
        while True:
            audience = _span(tenant, topic, last)
            ends = self._rows(
                _LAST.format(ordinal=audience.ordinal, where=audience.where), (*audience.values, users - 1)
            )
            where = f"{audience.where} AND {audience.ordinal} <= ? AND {matching.text}"
            values = (*audience.values, ends[0][0] if ends else _ORDINAL_MAX, *matching.values)
            began_ms = self._monotonic_ms()
            yield Look(Span(where, values, audience.ordinal), users, ends[0][0] if ends else None)
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
