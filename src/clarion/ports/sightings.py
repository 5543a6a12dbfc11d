"""Who saw what, as planning and the API ask for it."""

from collections.abc import Collection
from typing import Protocol, TypeAlias

Seen: TypeAlias = tuple[str, bytes, str]
"""A tenant, a notification id and a user id."""


class Sightings(Protocol):
    """Read side of what users saw. A workflow sends several messages of one notification, so when a user last saw it counts
    as well as when first."""

    async def seen_ms(self, wanted: Collection[Seen]) -> dict[Seen, int]:
        """Return when those of the users who saw the notification last did, as Unix milliseconds."""
        ...

    async def seen_by(self, tenant: str, notification_id: bytes) -> list[tuple[str, int]]:
        """Return (user id, Unix milliseconds) of who saw the notification and when first, by user, `RECIPIENTS_MAX` at most."""
        ...
