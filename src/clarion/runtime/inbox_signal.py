"""Signals of changed inboxes within one process: gathered for a moment and passed on together.

Backends that several processes share pass on what they hear of other processes, too.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from clarion.domain.history import Changes
from clarion.domain.inbox import ALL_INBOXES, ChangedInboxes, tenant_bucket, user_bucket
from clarion.domain.limits_processes import INBOX_CHECK_MS, INBOX_SIGNAL_USERS_MAX

GAP_S: Final = 0.003
"""Changes within this time are passed on together."""
NOTHING: Final = ChangedInboxes()
_INAPP: Final = "inapp"


class InboxSignals:
    """The signals that one process hears. Implements `ports.inbox_feed.InboxSignal`; used from one event loop."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[ChangedInboxes], None]] = []
        self._changed = NOTHING
        self._due: asyncio.TimerHandle | None = None
        self._check: asyncio.TimerHandle | None = None

    def listen(self, heard: Callable[[ChangedInboxes], None]) -> None:
        """Call `heard` on the running loop from now on."""
        self._listeners.append(heard)
        if self._check is None:
            self._look()

    async def close(self) -> None:
        """Stop listening."""
        self._listeners.clear()
        for timer in (self._due, self._check):
            if timer is not None:
                timer.cancel()
        self._due = self._check = None

    def notify(self, changed: ChangedInboxes) -> None:
        """Pass on changes soon, with those that come meanwhile."""
        if not self._listeners or changed == NOTHING:
            return
        self._changed |= changed
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(GAP_S, self._pass_on)

    def _pass_on(self) -> None:
        self._due = None
        changed, self._changed = self._changed, NOTHING
        for heard in self._listeners:
            heard(changed)

    def _look(self) -> None:
        """Have all inboxes looked at, now and then."""
        if self._listeners:
            self._check = asyncio.get_running_loop().call_later(INBOX_CHECK_MS / 1000, self._look)
            self.notify(ALL_INBOXES)


def changed_by(changes: Changes) -> ChangedInboxes:
    """Return the inboxes that a fold changes."""
    if not (changes.inbox_items or changes.chunks or changes.arrivals):
        return NOTHING
    tenants = {one.tenant for one in changes.chunks if one.channel == _INAPP}
    tenants.update(one.tenant for one in changes.arrivals.values())
    return changed_inboxes(((item.tenant, item.user_id) for item in changes.inbox_items), tenants)


def changed_inboxes(users: Iterable[tuple[str, str]], tenants: Iterable[str] = ()) -> ChangedInboxes:
    """Return the changes of inboxes of some users, and of all users of some tenants."""
    buckets = frozenset(user_bucket(*user) for user in users)
    if len(buckets) > INBOX_SIGNAL_USERS_MAX:
        return ALL_INBOXES
    return ChangedInboxes(buckets, frozenset(map(tenant_bucket, tenants)))
