"""What an action of a user means: the marks of an item, and the list that an action on all items is about."""

from typing import Final

from clarion.domain.inbox import Mark
from clarion.inbox.rules.inbox import ACTIVE, ARCHIVED, SNOOZED, UNREAD, Entry

SHOWN_FOR: Final = {"read": UNREAD, "unarchive": ARCHIVED, "unsnooze": SNOOZED}
"""The list whose items an action on all is about, unless another one is named; `active` for every other action."""


def mark_of(item_id: bytes, action: str, now_ms: int, until_ms: int | None = None) -> Mark:
    """Return the mark of an action. A snoozed item is unread when it comes back."""
    match action:
        case "seen":
            return Mark(item_id, seen_ms=now_ms)
        case "read":
            return Mark(item_id, seen_ms=now_ms, read_ms=now_ms)
        case "unread":
            return Mark(item_id, read_ms=0)
        case "archive":
            return Mark(item_id, archived_ms=now_ms)
        case "unarchive":
            return Mark(item_id, archived_ms=0)
        case "snooze":
            return Mark(item_id, read_ms=0, snoozed_ms=until_ms)
        case "unsnooze":
            return Mark(item_id, snoozed_ms=0)
        case _:
            return Mark(item_id, deleted_ms=now_ms)


def changes(entry: Entry, action: str) -> bool:
    """Return whether an action changes an item."""
    match action:
        case "seen":
            return entry.seen_ms is None
        case "read":
            return entry.read_ms is None
        case "unread":
            return entry.read_ms is not None
        case "archive":
            return entry.archived_ms is None
        case "unarchive":
            return entry.archived_ms is not None
        case "unsnooze":
            return entry.snoozed_ms is not None
        case _:
            return True


def list_for(action: str, show: str | None) -> str:
    """Return the list that an action on all items is about."""
    return show or SHOWN_FOR.get(action, ACTIVE)
