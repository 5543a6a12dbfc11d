"""Audiences in memory: the users of a tenant or a topic by ordinal, all or those that match a filter."""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.errors import Overloaded
from clarion.domain.limits_processes import (
    AUDIENCE_COUNT_MS_MAX,
    AUDIENCE_COUNTS_MAX,
    SEGMENT_LOOK_MS,
    SEGMENT_SCAN_USERS_MAX,
)
from clarion.domain.segment import Filter, UserFacts, matches
from clarion.ports.audiences import Count
from clarion.ports.clock import Clock
from clarion.ports.directory import UserPage, UserRow
from clarion.stores.memory.control_state import ControlState, StoredUser
from clarion.stores.memory.control_users import devices_of

_COLUMNS: Final = frozenset(
    {"email", "phone", "whatsapp", "chat", "webhook", "devices", "attributes", "more_contacts"}
)  # fmt: skip
_LOOK_USERS: Final = 100
"""Number of scanned users between checks of the time."""

Matching = Callable[[StoredUser], bool]


def audience(state: ControlState, tenant: str, topic: str | None, after: int) -> Iterator[StoredUser]:
    """Yield the users of a tenant (of a topic, if given) with ordinals above `after`, in order."""
    people = state.people[tenant]
    ordinals = people.ordinals
    if topic is not None:
        found = state.topics[tenant].get(topic)
        ordinals = [] if found is None else found.members
    for ordinal in ordinals[bisect_right(ordinals, after) :]:
        yield people.users[people.ids[ordinal]]


def matching(state: ControlState, tenant: str, filter_: Filter | None, now_ms: int) -> Matching:
    """Return the test whether a user matches a filter at a time (Unix ms); without a filter every user matches."""
    if filter_ is None:
        return lambda user: True
    topics = state.topics[tenant]

    def found(user: StoredUser) -> bool:
        own = frozenset(key for key, topic in topics.items() if topic.has(user.ordinal))
        return matches(filter_, facts_of(user, own), now_ms)

    return found


def facts_of(user: StoredUser, topics: frozenset[str]) -> UserFacts:
    """Return the facts that a filter tests, for a user who is a member of these topics."""
    attributes = msgspec.json.decode(user.attributes or "{}")
    return UserFacts(attributes, user.locale, user.zone, topics, _reachable(user), user.last_seen_ms)


def page(users: Iterator[StoredUser], after: int, limit: int, columns: tuple[str, ...]) -> UserPage:
    """Return the first users, up to `limit`, with extra columns. Raises `ValueError` for an unknown column."""
    rows = [_row(user, columns) for user in islice(users, limit)]
    return UserPage(rows, rows[-1][0] if rows else after, len(rows) < limit, len(rows))


def filtered_page(
    users: Iterator[StoredUser],
    after: int,
    limit: int,
    columns: tuple[str, ...],
    found: Matching,
    monotonic_ms: Callable[[], int],
) -> UserPage:
    """Return the first matching users, up to `limit`. The page ends early once `SEGMENT_SCAN_USERS_MAX` users were
    scanned or `SEGMENT_LOOK_MS` have passed."""
    rows, began_ms, scanned = list[tuple[Any, ...]](), monotonic_ms(), 0
    for scanned, user in enumerate(users, 1):
        if found(user):
            rows.append(_row(user, columns))
        over = scanned % _LOOK_USERS == 0 and monotonic_ms() - began_ms >= SEGMENT_LOOK_MS
        if len(rows) == limit or scanned >= SEGMENT_SCAN_USERS_MAX or over:
            return UserPage(rows, user.ordinal, False, scanned)
    return UserPage(rows, rows[-1][0] if rows else after, True, scanned)


def check_columns(columns: tuple[str, ...]) -> None:
    """Raise `ValueError` for an unknown column."""
    if not _COLUMNS.issuperset(columns):
        raise ValueError(f"unknown user columns: {sorted(set(columns) - _COLUMNS)}")


class MemoryAudiences:
    """Implements `ports/audiences.py`; other tasks run between two spans of users."""

    def __init__(self, state: ControlState, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._under_way = 0

    async def count(
        self, tenant: str, topic: str | None, filter_: Filter | None, *, most: int | None = None, sample: int = 0
    ) -> Count:
        """Return the number of matching users of the tenant or topic. The count ends early once it exceeds `most` or
        time is up. Raises `Overloaded` when too many counts are running."""
        if self._under_way >= AUDIENCE_COUNTS_MAX:
            raise Overloaded("too many audiences are being counted")
        self._under_way += 1
        try:
            return await self._count(tenant, topic, filter_, most, sample)
        finally:
            self._under_way -= 1

    async def close(self) -> None:
        """Do nothing: nothing is open."""

    async def _count(
        self, tenant: str, topic: str | None, filter_: Filter | None, most: int | None, sample: int
    ) -> Count:
        deadline_ms = self._clock.monotonic_ms() + AUDIENCE_COUNT_MS_MAX
        found = matching(self._state, tenant, filter_, self._clock.now_ms())
        users, names, after = 0, list[str](), 0
        while True:
            span = list(islice(audience(self._state, tenant, topic, after), SEGMENT_SCAN_USERS_MAX))
            counted = [user.user_id for user in span if found(user)]
            users += len(counted)
            names += counted[: sample - len(names)]
            if len(span) < SEGMENT_SCAN_USERS_MAX:
                return Count(users, True, names)
            if (most is not None and users > most) or self._clock.monotonic_ms() >= deadline_ms:
                return Count(users, False, names)
            after = span[-1].ordinal
            await asyncio.sleep(0)


def _row(user: StoredUser, columns: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(getattr(user, name) for name in (*UserRow.__struct_fields__, *columns))


def _reachable(user: StoredUser) -> frozenset[Channel]:
    more = msgspec.json.decode(user.more_contacts or "{}")
    reachable = {Channel.INAPP} | {Channel(device.kind) for device in devices_of(user)}
    reachable |= {Channel(name) for name, addresses in more.items() if addresses}
    contacts = {
        Channel.EMAIL: user.email,
        Channel.SMS: user.phone,
        Channel.WHATSAPP: user.phone if user.whatsapp is None else user.whatsapp,
        Channel.CHAT: user.chat,
        Channel.WEBHOOK: user.webhook,
    }
    return frozenset(reachable | {channel for channel, contact in contacts.items() if contact is not None})
