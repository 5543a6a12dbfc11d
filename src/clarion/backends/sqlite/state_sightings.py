"""The sightings side of `state.db`: which user saw which notification, when first and when last."""

from collections.abc import Collection
from typing import Final

from clarion.backends.sqlite.connection import fetch_all
from clarion.backends.sqlite.state_threads import Threads
from clarion.domain.limits import RECIPIENTS_MAX
from clarion.ports.sightings import Seen

_OF_ONE: Final = """SELECT tenant, notification_id, user_id, last_ms FROM sightings
    WHERE tenant = ? AND notification_id = ? AND user_id = ?"""
_OF_ALL: Final = """SELECT user_id, first_ms FROM sightings WHERE tenant = ? AND notification_id = ?
    ORDER BY user_id LIMIT ?"""


class StateSightings:
    """Implements `ports.sightings.Sightings`."""

    _threads: Threads

    async def seen_ms(self, wanted: Collection[Seen]) -> dict[Seen, int]:
        """Return when those of the users who saw the notification last did."""
        return {(*seen,): at_ms for *seen, at_ms in self._threads.reader().executemany(_OF_ONE, wanted)}

    async def seen_by(self, tenant: str, notification_id: bytes) -> list[tuple[str, int]]:
        """Return who saw the notification and when first, by user."""
        return fetch_all(self._threads.reader(), _OF_ALL, (tenant, notification_id, RECIPIENTS_MAX))
