"""Seen receipts, as planning and the API read them."""

from collections.abc import Collection
from typing import Protocol, TypeAlias

Seen: TypeAlias = tuple[str, bytes, str]
"""A tenant, a notification id and a user id."""


class SeenReceipts(Protocol):
    """Read side of seen receipts. A workflow sends several messages of one notification, so both the first and the last
    time count."""

    async def seen_ms(self, wanted: Collection[Seen]) -> dict[Seen, int]:
        """Return the last time that each user saw the notification, as Unix milliseconds; users who have not are left
        out."""
        ...

    async def seen_by(self, tenant: str, notification_id: bytes) -> list[tuple[str, int]]:
        """Return (user id, Unix milliseconds of the first time) of the users who saw the notification, by user,
        `RECIPIENTS_MAX` at most."""
        ...
