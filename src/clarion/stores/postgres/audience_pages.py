"""Audiences on PostgreSQL by ordinal, in parts: all users of a tenant or a topic, or those that match a filter.

An unfiltered page of a tenant's users reads only the index `users_page`. A filter can match nobody and be expensive for
each user. So matching is a sequence of statements, each over a span of users sized by the time that the previous one took.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from clarion.domain.limits_processes import SEGMENT_LOOK_MS, SEGMENT_SCAN_USERS_MAX
from clarion.domain.segment import Filter
from clarion.ports.directory import UserPage
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.segment_sql import Values, condition

_COLUMNS: Final = frozenset(
    {"email", "phone", "whatsapp", "chat", "webhook", "devices", "attributes", "more_contacts"}
)  # fmt: skip
_HEAD: Final = "u.ordinal, u.user_id, u.profile_id, u.locale"
_OF_TENANT: Final = "users u WHERE u.tenant = $1 AND u.ordinal > $2"
_OF_TOPIC: Final = "topic_members m WHERE m.tenant = $1 AND m.topic = $3 AND m.ordinal > $2 ORDER BY m.ordinal"
# The inner LIMIT makes it a look into an index for each member, never a merge with all users of the tenant.
_MEMBERS: Final = (
    "(SELECT m.ordinal FROM {of_topic} LIMIT {size}) a, LATERAL ("
    "SELECT * FROM users WHERE tenant = $1 AND ordinal = a.ordinal LIMIT 1) u WHERE true"
)
_PAGE: Final = "SELECT {head} FROM {audience} ORDER BY u.ordinal LIMIT {size}"
# `ends` holds the last ordinal of a whole span, and no row when fewer users are left; one index is read for it.
_SPAN: Final = """
WITH ends AS MATERIALIZED ({last} LIMIT 1 OFFSET {size} - 1),
matched AS MATERIALIZED (
    SELECT {head} FROM {audience} AND u.ordinal <= coalesce((SELECT last FROM ends), 9223372036854775807) AND {matching}
    {tail}
)
"""
_ROWS: Final = (
    "SELECT (SELECT last FROM ends) AS last, m.* FROM (SELECT 1) one LEFT JOIN matched m ON true ORDER BY m.ordinal"
)
_COUNT: Final = """
SELECT (SELECT last FROM ends), (SELECT count(*) FROM matched),
    ARRAY(SELECT user_id FROM matched ORDER BY ordinal LIMIT {sample})
"""
_FIRST_LOOK_USERS: Final = 1_000


class Beginning(NamedTuple):
    """The values of a statement over the next users of an audience, the placeholder of their number, their FROM and WHERE,
    and the statement that has their ordinals in order."""

    values: Values
    size: str
    audience: str
    last: str


class Audience(NamedTuple):
    """The users of a tenant, of one of its topics if that is given, who match the filter if there is one, at a time (Unix
    ms)."""

    tenant: str
    topic: str | None
    filter_: Filter | None
    now_ms: int

    def begin(self, after: int, users: int) -> "Beginning":
        """Return the beginning of a statement over the next users with ordinals above `after`."""
        if self.topic is None:
            values = Values(self.tenant, after)
            last = f"SELECT u.ordinal AS last FROM {_OF_TENANT} ORDER BY u.ordinal"  # noqa: S608 - constants
            return Beginning(values, values.take(users, "bigint"), _OF_TENANT, last)
        values = Values(self.tenant, after, self.topic)
        size = values.take(users, "bigint")
        last = f"SELECT m.ordinal AS last FROM {_OF_TOPIC}"  # noqa: S608 - constants
        return Beginning(values, size, _MEMBERS.format(of_topic=_OF_TOPIC, size=size), last)

    def span(self, after: int, users: int, head: str, limit: int | None) -> tuple[Values, str]:
        """Return the statement's beginning over the next `users`, with the matching ones as `matched`."""
        values, size, audience, last = self.begin(after, users)
        matching = "true" if self.filter_ is None else condition(self.filter_, self.tenant, self.now_ms, values)
        tail = "" if limit is None else f"ORDER BY u.ordinal LIMIT {values.take(limit, 'bigint')}"
        text = _SPAN.format(audience=audience, size=size, last=last, head=head, matching=matching, tail=tail)
        return values, text


class BatchSize:
    """The number of users to look at at once, by the time that the last look took."""

    def __init__(self, monotonic_ms: Callable[[], int]) -> None:
        self._monotonic_ms = monotonic_ms
        self._began_ms = monotonic_ms()
        self.users = min(_FIRST_LOOK_USERS, SEGMENT_SCAN_USERS_MAX)

    def looked(self) -> None:
        """Choose the next number after a look has ended."""
        now_ms = self._monotonic_ms()
        took_ms = max(1, now_ms - self._began_ms)
        self.users = max(1, min(2 * self.users, self.users * SEGMENT_LOOK_MS // took_ms, SEGMENT_SCAN_USERS_MAX))
        self._began_ms = now_ms


class AudienceReader:
    """Reads audiences from a database with the caller's clock (monotonic ms)."""

    def __init__(self, database: Database, monotonic_ms: Callable[[], int]) -> None:
        self._database = database
        self._monotonic_ms = monotonic_ms

    async def page(self, audience: Audience, after: int, limit: int, columns: Sequence[str] = ()) -> UserPage:
        """Return up to `limit` users with ordinals above `after`. A filtered page ends early once
        `SEGMENT_SCAN_USERS_MAX` users were scanned or `SEGMENT_LOOK_MS` have passed. Raises `ValueError` for an unknown
        column."""
        if not _COLUMNS.issuperset(columns):
            raise ValueError(f"unknown user columns: {sorted(set(columns) - _COLUMNS)}")
        head = ", ".join([_HEAD, *(f"u.{column}" for column in columns)])
        if audience.filter_ is None:
            return await self._whole(audience, after, limit, head)
        pace, began_ms, scanned, last = BatchSize(self._monotonic_ms), self._monotonic_ms(), 0, after
        found: list[tuple[Any, ...]] = []
        while True:
            values, span = audience.span(last, pace.users, head, limit - len(found))
            rows = await self._database.fetch(audience.tenant, span + _ROWS, *values.all)
            found += [tuple(row)[1:] for row in rows if row[1] is not None]
            scanned += pace.users
            if len(found) == limit:
                return UserPage(found, found[-1][0], False, limit)
            end = rows[0][0]
            if end is None:
                return UserPage(found, found[-1][0] if found else after, True, scanned)
            last = end
            if scanned >= SEGMENT_SCAN_USERS_MAX or self._monotonic_ms() - began_ms >= SEGMENT_LOOK_MS:
                return UserPage(found, last, False, scanned)
            pace.looked()

    async def count(self, audience: Audience, after: int, users: int, sample: int) -> tuple[int | None, int, list[str]]:
        """Count the matching ones among the next `users` after an ordinal. Return the ordinal to go on after (None: no
        users are left), their number, and the first ids."""
        values, span = audience.span(after, users, "u.ordinal, u.user_id", None)
        statement = span + _COUNT.format(sample=values.take(sample, "bigint"))
        last, number, names = await self._database.fetchrow(audience.tenant, statement, *values.all)
        return last, number, names

    async def _whole(self, audience: Audience, after: int, limit: int, head: str) -> UserPage:
        values, size, users, _ = audience.begin(after, limit)
        statement = _PAGE.format(head=head, audience=users, size=size)
        found = [tuple(row) for row in await self._database.fetch(audience.tenant, statement, *values.all)]
        return UserPage(found, found[-1][0] if found else after, len(found) < limit, len(found))
