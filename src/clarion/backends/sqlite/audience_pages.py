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


def next_matching(rows: Rows, audience: Span, matching: Condition) -> tuple[Span, int | None]:
    """Return those who match among the users to look at now, and the ordinal to go on after, None when nobody is left."""
    found = rows(
        _LAST.format(ordinal=audience.ordinal, where=audience.where), (*audience.values, SEGMENT_SCAN_USERS_MAX - 1)
    )
    last = int(found[0][0]) if found else None
    where = f"{audience.where} AND {audience.ordinal} <= ? AND {matching.text}"
    values = (*audience.values, _ORDINAL_MAX if last is None else last, *matching.values)
    return Span(where, values, audience.ordinal), last


def read_rows(rows: Rows, audience: Span, limit: int, columns: Sequence[str] = ()) -> list[Any]:
    """Return the first users of an audience, up to `limit`, with extra columns. Raises `ValueError` for an unknown one."""
    if not _COLUMNS.issuperset(columns):
        raise ValueError(f"unknown user columns: {sorted(set(columns) - _COLUMNS)}")
    names = "".join(f", u.{column}" for column in columns)
    text = _PAGE.format(columns=names, where=audience.where, ordinal=audience.ordinal)
    return rows(text, (*audience.values, limit))


def read_page(rows: Rows, audience: Span, limit: int, columns: Sequence[str], matching: Condition | None) -> UserPage:
    """Return a page of an audience, of those who match."""
    last = None
    wanted = audience
    if matching is not None:
        wanted, last = next_matching(rows, audience, matching)
    found = read_rows(rows, wanted, limit, columns)
    if last is not None and len(found) < limit:
        return UserPage(found, last, False, SEGMENT_SCAN_USERS_MAX)
    position = found[-1][0] if found else audience.values[-1]
    return UserPage(found, position, len(found) < limit, len(found))
