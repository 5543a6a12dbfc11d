"""Audiences in `control.db`, by ordinal and piece by piece: everyone of a tenant or a topic, all or those that match.

An unfiltered page of everyone reads the index `users_page` alone. A filtered one looks at `SEGMENT_SCAN_USERS_MAX` users
at most, so that a filter which matches nobody cannot hold up whoever asks.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from clarion.backends.sqlite.segment_sql import Condition
from clarion.domain.limits import SEGMENT_SCAN_USERS_MAX
from clarion.ports.directory import UserPage

_COLUMNS: Final = frozenset(
    {"email", "phone", "whatsapp", "chat", "webhook", "devices", "attributes", "more_contacts"}
)  # fmt: skip
_PAGE: Final = "SELECT u.ordinal, u.user_id, u.profile_id, u.locale{columns} FROM {where} ORDER BY {ordinal} LIMIT ?"
_LAST: Final = "SELECT {ordinal} FROM {where} ORDER BY {ordinal} LIMIT 1 OFFSET ?"

_ORDINAL_MAX: Final = (1 << 63) - 1

Rows: TypeAlias = Callable[[str, tuple[Any, ...]], list[Any]]
"""Runs a statement with its values and returns all rows."""


class Span(NamedTuple):
    """Users of an audience after an ordinal: FROM and WHERE, the values of the placeholders, and the ordinal's column."""

    where: str
    values: tuple[Any, ...]
    ordinal: str

    def up_to(self, last: int, matching: Condition) -> "Span":
        """Return the users up to an ordinal that match."""
        where = f"{self.where} AND {self.ordinal} <= ? AND {matching.text}"
        return Span(where, (*self.values, last, *matching.values), self.ordinal)


def span(tenant: str, topic: str | None, after: int) -> Span:
    """Return the users of a tenant, or of a topic, with ordinals above `after`."""
    if topic is None:
        where = "users u INDEXED BY users_page WHERE u.tenant = ? AND u.ordinal > ?"
        return Span(where, (tenant, after), "u.ordinal")
    where = (
        "topic_members m CROSS JOIN users u ON u.ordinal = m.ordinal"
        " WHERE m.tenant = ? AND m.topic = ? AND m.ordinal > ?"
    )
    return Span(where, (tenant, topic, after), "m.ordinal")


def last_looked_at(rows: Rows, audience: Span) -> int | None:
    """Return the ordinal of the last user that may be looked at now, or None when so many are not left."""
    text = _LAST.format(ordinal=audience.ordinal, where=audience.where)
    found = rows(text, (*audience.values, SEGMENT_SCAN_USERS_MAX - 1))
    return int(found[0][0]) if found else None


def read_page(
    rows: Rows, audience: Span, limit: int, columns: Sequence[str] = (), matching: Condition | None = None
) -> UserPage:
    """Return the first users of an audience, up to `limit`, with extra columns. Raises `ValueError` for an unknown one."""
    if not _COLUMNS.issuperset(columns):
        raise ValueError(f"unknown user columns: {sorted(set(columns) - _COLUMNS)}")
    last = None
    wanted = audience
    if matching is not None:
        last = last_looked_at(rows, audience)
        wanted = audience.up_to(_ORDINAL_MAX if last is None else last, matching)
    names = "".join(f", u.{column}" for column in columns)
    text = _PAGE.format(columns=names, where=wanted.where, ordinal=wanted.ordinal)
    found = rows(text, (*wanted.values, limit))
    if len(found) == limit or last is None:
        position = found[-1][0] if found else audience.values[-1]
        return UserPage(found, position, len(found) < limit)
    return UserPage(found, last, done=False)
