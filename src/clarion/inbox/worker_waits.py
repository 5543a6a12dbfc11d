"""Long polling: requests that wait until something changes in their user's inbox."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from clarion.domain.errors import Overloaded
from clarion.domain.inbox import ChangedInboxes, tenant_bucket, user_bucket
from clarion.domain.limits_processes import INBOX_WAITS_MAX, INBOX_WAITS_PER_TENANT_MAX, INBOX_WAITS_PER_USER_MAX
from clarion.ports.inbox_feed import InboxSignal


class InboxWaits:
    """The waiting requests of one process. Belongs to one event loop; listens from the first request on."""

    def __init__(self, signal: InboxSignal) -> None:
        self._signal = signal
        self._waiting: dict[asyncio.Event, tuple[str, str]] = {}
        self._numbers = Counter[str | tuple[str, str]]()
        self._listens = self._closed = False

    async def wait(self, user: tuple[str, str], wait_ms: int, has_moved: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the inbox of a user (tenant, user id) `has_moved`, for a time at most. Raises `Overloaded` when too many
        requests wait."""
        if not (self._listens or self._closed):
            self._listens = True
            self._signal.listen(self._heard)
        woken = self._enter(user)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_ms / 1000):
                    while not (self._closed or await has_moved()):
                        await woken.wait()
                        woken.clear()
        finally:
            del self._waiting[woken]
            self._numbers.subtract([user, user[0]])
            self._numbers = +self._numbers  # without those of whom none waits

    def close(self) -> None:
        """Have all waiting requests answered, and keep none waiting any more: the process stops."""
        self._closed = True
        for woken in self._waiting:
            woken.set()

    def _enter(self, user: tuple[str, str]) -> asyncio.Event:
        own, tenants = self._numbers[user], self._numbers[user[0]]
        is_full = len(self._waiting) >= INBOX_WAITS_MAX or tenants >= INBOX_WAITS_PER_TENANT_MAX
        if is_full or own >= INBOX_WAITS_PER_USER_MAX:
            raise Overloaded("too many requests wait for an inbox to change", retry_after_s=5, code="too_many_waits")
        woken = asyncio.Event()
        self._waiting[woken] = user
        self._numbers.update([user, user[0]])
        return woken

    def _heard(self, changed: ChangedInboxes) -> None:
        for woken, user in self._waiting.items():
            if changed.all or user_bucket(*user) in changed.users or tenant_bucket(user[0]) in changed.tenants:
                woken.set()
