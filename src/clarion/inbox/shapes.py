"""The inbox as the API shows it."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from clarion.domain import ids
from clarion.domain.limits import KEY_CHARS_MAX
from clarion.domain.limits_processes import INBOX_COUNT_MAX
from clarion.domain.times import shown
from clarion.inbox.rules.inbox import Entry

Action = Literal["seen", "read", "unread", "archive", "unarchive", "snooze", "unsnooze", "delete"]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_CHARS_MAX)]


class InboxItemOut(msgspec.Struct, frozen=True):
    """A message in the inbox. `notification_id` is that of the broadcast where one sent it. `content` has the parts of the
    template; all of it is text to be shown, never markup."""

    id: str
    notification_id: str
    created_at: datetime
    category: str | None
    content: msgspec.Raw
    seen_at: datetime | None
    read_at: datetime | None
    archived_at: datetime | None
    snoozed_until: datetime | None
    expires_at: datetime | None


class InboxPage(msgspec.Struct, frozen=True):
    """A page of the list. `next` is the `after` of the following page, null at the end. `position` is what a client has
    seen with the first page, for `since`; with `reload` the given one was not usable, and the list is a whole one."""

    data: list[InboxItemOut]
    next: str | None
    position: str
    reload: bool


class InboxCounts(msgspec.Struct, frozen=True):
    """Items that are neither archived nor snoozed, up to 1,000; `more` is set when there are further ones."""

    total: int
    unseen: int
    unread: int
    more: bool


class MarksIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do with which items: those with `ids`, or `all` of the list that `show`, `category` and `workflow` filter, as
    it was at `position`. `until` belongs to `snooze`."""

    action: Action
    ids: Annotated[list[str], msgspec.Meta(max_length=INBOX_COUNT_MAX)] | None = None
    all: bool = False
    show: Literal["active", "unread", "archived", "snoozed", "all"] | None = None
    category: Key | None = None
    workflow: Key | None = None
    position: str | None = None
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class MarksOut(msgspec.Struct, frozen=True):
    """The number of items marked; `more` is set when there are further ones, for which the call can be repeated."""

    marked: int
    more: bool


def item_out(entry: Entry) -> InboxItemOut:
    """Return an item as the API shows it."""
    item = entry.item
    prefix = ids.NOTIFICATION_PREFIX if item.place.own else ids.BROADCAST_PREFIX
    notification = ids.write(prefix, ids.notification_of(item.item_id))
    return InboxItemOut(
        ids.write(ids.DELIVERY_PREFIX, item.item_id), notification, shown(item.created_ms), item.category or None,
        msgspec.Raw(item.content), shown(entry.seen_ms), shown(entry.read_ms), shown(entry.archived_ms),
        shown(entry.snoozed_ms), shown(item.expires_ms),
    )  # fmt: skip
