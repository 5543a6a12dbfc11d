"""Reading one user's inbox piece by piece from the store: own items and broadcasts, with their marks."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

import msgspec

from clarion.domain.limits import INBOX_SCAN_MAX, PAGE_ITEMS_MAX
from clarion.ports.inbox import Inbox
from clarion.realtime.rules.inbox import Done, Item, marked, newest_first

_JSON: Final = msgspec.json.Encoder().encode
_BROADCASTS_A_TIME: Final = 20


class Reader:
    """One read of the inbox of one user. `ordinal` is None for a user nobody keeps: there are no broadcasts then."""

    def __init__(self, inbox: Inbox, tenant: str, user_id: str, ordinal: int | None) -> None:
        self._inbox = inbox
        self._tenant = tenant
        self._user_id = user_id
        self._ordinal = ordinal
        self._horizon = inbox.horizon(tenant, user_id)

    def items(self, before: bytes | None, at_a_time: int) -> Iterator[Item]:
        """Yield the items below `before` with their marks, newest first, reading `at_a_time` at once."""
        plain = newest_first(self._own(before, min(at_a_time, PAGE_ITEMS_MAX)), self._broadcasts(before))
        read_to, read_at_ms = (self._horizon.item_id, self._horizon.at_ms) if self._horizon else (None, 0)
        while piece := list(islice(plain, at_a_time)):
            marks = self._inbox.marks(self._tenant, self._user_id, [item.item_id for item in piece])
            done = {id_: Done(mark.seen_ms, mark.read_ms, mark.archived_ms) for id_, mark in marks.items()}
            yield from (marked(item, done, read_to, read_at_ms) for item in piece)

    def _own(self, before: bytes | None, at_a_time: int) -> Iterator[Item]:
        while rows := self._inbox.items(self._tenant, self._user_id, before, at_a_time):
            yield from (Item(row.item_id, row.created_ms, row.content) for row in rows)
            before = rows[-1].item_id
            if len(rows) < at_a_time:
                return

    def _broadcasts(self, before: bytes | None) -> Iterator[Item]:
        if self._ordinal is None:
            return
        looked_at = 0
        while looked_at < INBOX_SCAN_MAX:
            found, following = self._inbox.broadcasts(
                self._tenant, self._user_id, self._ordinal, before, _BROADCASTS_A_TIME
            )
            looked_at += _BROADCASTS_A_TIME
            yield from (Item(held.item_id, held.created_ms, _JSON(held.content)) for held in found)
            if following is None:
                return
            before = following
