"""What is new in the inboxes of users, as the frames that clients get: items that arrived, the state of items, and counts.

Counts are read once, and go on with the items that arrive; they are read again after everything that an item alone cannot tell:
marks, withdrawals, items that replace others or expire.
"""

import base64
import binascii
from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import nsmallest
from typing import Any, Final

import msgspec

from clarion.domain import ids
from clarion.domain.errors import InvalidField
from clarion.domain.inbox import Mark, Position
from clarion.domain.limits import PAGE_ITEMS_MAX
from clarion.domain.limits_gateway import COUNTED_AT_ONCE_MAX, TIMED_ITEMS_MAX
from clarion.domain.limits_processes import INBOX_COUNT_MAX
from clarion.domain.times import shown
from clarion.gateway.due import Due
from clarion.gateway.hub import News, Step, User
from clarion.gateway.messages import opened, opened_as
from clarion.identity.user_tokens import TokenClaims
from clarion.inbox.gather import InboxReader, open_reader
from clarion.inbox.rules.inbox import UNREAD, Counts, Entry, ItemFilter, entries_of, entry_of
from clarion.inbox.rules.positions import EPOCH_BYTES, position_tag, read_position, tagged_bytes
from clarion.inbox.shapes import InboxCounts, InboxItemOut, item_out
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.inbox import Inbox
from clarion.ports.inbox_feed import InboxFeed, Missed, Wanted
from clarion.runtime.metering import together

_NOWHERE: Final = Position(bytes(EPOCH_BYTES), 0, 0)
"""A position of no epoch: what is asked from it says where a user stands."""


class ItemFrame(msgspec.Struct, frozen=True, tag="item"):
    """An item that arrived."""

    item: InboxItemOut


class CountsFrame(InboxCounts, frozen=True, tag="counts"):
    """The counts of the inbox."""


class Kept(msgspec.Struct):
    """The counts of a user at a position, and whether there are more items. `times` are the
    next ones at which items come back from a snooze or expire: the counts are true until the first. `tag` ties positions to the
    user's inbox."""

    position: Position
    counts: Counts
    more: bool
    times: list[tuple[int, bytes]]
    tag: bytes


class InboxNews:
    """Implements `hub.Feed` over the inbox."""

    def __init__(self, inbox: Inbox, feed: InboxFeed, directory: Directory, clock: Clock) -> None:
        self._inbox = inbox
        self._feed = feed
        self._directory = directory
        self._clock = clock
        self._kept: dict[User, Kept] = {}
        self._due = Due()
        self._late: dict[User, list[bytes]] = {}
        """Items that have changed by themselves, of which their users' clients have yet to be told."""

    def shown(self, user: User, position: Position) -> str:
        """Return a position as clients of a user get it: as the API shows it."""
        kept = self._kept.get(user)
        tag = position_tag(*user) if kept is None else kept.tag
        return base64.urlsafe_b64encode(tagged_bytes(tag, position)).rstrip(b"=").decode()

    def seen(self, grant: TokenClaims, text: str) -> Position:
        """Return the position that a client gives back. Raises `InvalidField` for one that is not of its inbox."""
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        position = read_position(grant.tenant, grant.user_id, raw)
        if position is None:
            raise InvalidField("is no position of this inbox", field="position")
        return position

    def forget(self, user: User) -> None:
        """Forget the counts of a user who is not connected any more."""
        self._kept.pop(user, None)
        self._late.pop(user, None)
        self._due.set(user, None)

    def due(self) -> Sequence[User]:
        """Return the users of whose items one has come back from a snooze or expired."""
        return self._due.by(self._clock.now_ms())

    async def since(self, users: Mapping[User, Position | None], joining: Collection[User]) -> Mapping[User, News]:
        """Return what lies after the positions of users, for those who join or for whom anything is new."""
        now_ms, places = self._clock.now_ms(), await self._feed.positions(list(users))
        for user in users:
            self._take_late(user, now_ms)
        moved = {
            user: (seen or _NOWHERE, now)
            for (user, seen), now in zip(users.items(), places, strict=True)
            if seen != now or user in joining or user in self._late
        }
        if not moved:
            return {}
        ordinals = await self._ordinals(
            user
            for user, (seen, now) in moved.items()
            if seen.shared != now.shared or seen.epoch != now.epoch or user not in self._kept
        )
        wanted = [Wanted(*user, ordinals.get(user), seen, now) for user, (seen, now) in moved.items()]
        found, others = dict[User, News](), list[tuple[User, Wanted, Missed]]()
        for user, one, missed in zip(moved, wanted, await self._feed.missed(wanted), strict=True):
            # One that was cut amid a replay stands where no inbox has been: its items may be marked or replaced already.
            is_plain = not (missed.items and user in joining)
            news = self._simple(user, one, missed) if is_plain else None
            if news is None:
                others.append((user, one, missed))
            else:
                found[user] = news
        for first in range(0, len(others), COUNTED_AT_ONCE_MAX):
            part = others[first : first + COUNTED_AT_ONCE_MAX]
            news_of = await together(*(self._news(one, missed, now_ms) for _, one, missed in part))
            found.update(zip((user for user, *_ in part), news_of, strict=True))
        for user in found:
            self._late.pop(user, None)
        return found

    def _take_late(self, user: User, now_ms: int) -> None:
        """Find the items of a user that have changed by themselves since they were read."""
        kept, due_ms = self._kept.get(user), self._due.of(user)
        if kept is not None and due_ms is not None and due_ms <= now_ms:
            late = [item_id for at_ms, item_id in kept.times if at_ms <= now_ms]
            self._late[user] = [*self._late.get(user, ()), *late]
            self._due.set(user, None)

    async def _ordinals(self, users: Iterable[User]) -> dict[User, int]:
        by_tenant: dict[str, list[str]] = {}
        for tenant, user_id in users:
            by_tenant.setdefault(tenant, []).append(user_id)
        found = {}
        for tenant, user_ids in by_tenant.items():
            for user_id, ordinal in (await self._directory.ordinals(tenant, user_ids)).items():
                found[tenant, user_id] = ordinal
        return found

    async def positions(self, users: Sequence[User]) -> Sequence[Position]:
        """Return where users stand."""
        return await self._feed.positions(users)

    def _simple(self, user: User, wanted: Wanted, missed: Missed) -> News | None:
        """Return what is new where items have only been added, and stay until their user does something, to counts that are
        known."""
        kept = self._kept.get(user)
        if kept is None or missed.reload or missed.marks or missed.horizon or missed.withdrawn or missed.dropped:
            return None
        if user in self._late:
            return None
        before, new = kept.position, 0
        if not wanted.position.precedes(before) or not before.precedes(missed.position):
            return None
        for item in missed.items:
            if item.collapse_key or item.expires_ms:
                return None
            new += not before.passed(item.place)
        total, unseen, unread = kept.counts
        if total + new > INBOX_COUNT_MAX:
            return None
        kept.position = missed.position
        if new:
            kept.counts = Counts(total + new, unseen + new, unread + new)
        return News(missed.position, [_step(Entry(item)) for item in missed.items], _counts(kept))

    async def _news(self, wanted: Wanted, missed: Missed, now_ms: int) -> News:
        if wanted.ordinal is None:  # it was not needed before
            ordinals = await self._directory.ordinals(wanted.tenant, [wanted.user_id])
            wanted = wanted._replace(ordinal=ordinals.get(wanted.user_id))
        late = self._late.get((wanted.tenant, wanted.user_id), ())
        cannot_tell = missed.reload or len(late) >= TIMED_ITEMS_MAX
        arrived = None if cannot_tell else await self._arrived(wanted, missed, now_ms)
        if arrived is None:
            return News(missed.position, None, await self._counted(wanted, now_ms), by_time=bool(late))
        steps = [_step(entry) for entry in arrived]
        states = await self._states(wanted, missed, now_ms)
        if late:
            states.append(await self._changed_by_time(wanted, late, now_ms))
        return News(missed.position, steps, await self._counted(wanted, now_ms), states, by_time=bool(late))

    async def _arrived(self, wanted: Wanted, missed: Missed, now_ms: int) -> list[Entry] | None:
        """Return the items that arrived as the inbox shows them now. None when one of them that is gone again has replaced
        others, which the client may still have."""
        tenant, user_id, ordinal, *_ = wanted
        keys = {item.collapse_key for item in missed.items if item.collapse_key}.union(missed.dropped)
        newest = await self._inbox.newest_of(tenant, user_id, ordinal, keys) if keys else {}
        if not missed.items:
            entries = []
        else:
            facts = await self._inbox.facts(tenant, user_id, [item.item_id for item in missed.items])
            horizon = (await self._inbox.head(tenant, user_id)).horizon
            entries = entries_of(missed.items, facts, newest, horizon, now_ms)
        told = {entry.item.place for entry in entries}
        for key in keys:
            place = newest.get(key)
            if place is None or (wanted.covers(place) and place not in told):
                return None
        return entries

    async def _states(self, wanted: Wanted, missed: Missed, now_ms: int) -> list[bytes]:
        frames = []
        if missed.horizon is not None:
            frames.append(await self._read_all(wanted, missed, now_ms))
        if missed.marks:
            frames.append(await self._marked(wanted, missed.marks, now_ms))
        if missed.withdrawn:
            prefixes = ids.NOTIFICATION_PREFIX, ids.BROADCAST_PREFIX
            frames.append(
                opened_as("item_state", withdrawn=[ids.write(one, id_) for id_ in missed.withdrawn for one in prefixes])
            )
        return frames

    async def _read_all(self, wanted: Wanted, missed: Missed, now_ms: int) -> bytes:
        """Return the frame for a user who has read everything: all items but those that are still unread."""
        reader = await self._reader(wanted, now_ms)
        page = await reader.page(ItemFilter(UNREAD), None, PAGE_ITEMS_MAX)
        except_ = [ids.write(ids.DELIVERY_PREFIX, entry.item.item_id) for entry in page.entries]
        at = missed.horizon.at_ms if missed.horizon is not None else now_ms
        return opened_as("item_state", all_read_at=shown(at), unread=except_)

    async def _marked(self, wanted: Wanted, marks: Sequence[Mark], now_ms: int) -> bytes:
        found = await self._inbox.find(
            wanted.tenant, wanted.user_id, wanted.ordinal, [mark.item_id for mark in marks if not mark.deleted_ms]
        )
        horizon = (await self._inbox.head(wanted.tenant, wanted.user_id)).horizon
        states = [
            _state(entry_of(found[mark.item_id], mark, horizon, now_ms)) for mark in marks if mark.item_id in found
        ]
        gone = [ids.write(ids.DELIVERY_PREFIX, mark.item_id) for mark in marks if mark.item_id not in found]
        return opened_as("item_state", items=states, gone=gone)

    async def _changed_by_time(self, wanted: Wanted, item_ids: Sequence[bytes], now_ms: int) -> bytes:
        """Return the frame that says which items have expired, and how those are that came back from a snooze."""
        tenant, user_id, ordinal, *_ = wanted
        found = await self._inbox.find(tenant, user_id, ordinal, item_ids)
        facts = await self._inbox.facts(tenant, user_id, item_ids)
        horizon = (await self._inbox.head(tenant, user_id)).horizon
        here = entries_of(found.values(), facts, {}, horizon, now_ms)
        gone = found.keys() - {entry.item.item_id for entry in here}
        return opened_as(
            "item_state",
            items=[_state(entry) for entry in here],
            gone=[ids.write(ids.DELIVERY_PREFIX, item_id) for item_id in sorted(gone)],
        )

    async def _counted(self, wanted: Wanted, now_ms: int) -> bytes:
        reader = await self._reader(wanted, now_ms)
        found, more = await reader.counts(ItemFilter())
        user = wanted.tenant, wanted.user_id
        times = nsmallest(TIMED_ITEMS_MAX, reader.times)
        kept = self._kept[user] = Kept(reader.position, found, more, times, position_tag(*user))
        self._due.set(user, times[0][0] if times else None)
        return _counts(kept)

    async def _reader(self, wanted: Wanted, now_ms: int) -> InboxReader:
        return await open_reader(self._inbox, wanted.tenant, wanted.user_id, wanted.ordinal, now_ms)


def _step(entry: Entry) -> Step:
    place = entry.item.place
    own, shared = (place.own, 0) if place.own else (0, place.shared)
    return Step(own, shared, opened(ItemFrame(item_out(entry))))


def _state(entry: Entry) -> dict[str, Any]:
    return {
        "id": ids.write(ids.DELIVERY_PREFIX, entry.item.item_id),
        "seen_at": shown(entry.seen_ms),
        "read_at": shown(entry.read_ms),
        "archived_at": shown(entry.archived_ms),
        "snoozed_until": shown(entry.snoozed_ms),
    }


def _counts(kept: Kept) -> bytes:
    return opened(CountsFrame(*kept.counts, kept.more))
