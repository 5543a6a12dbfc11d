"""Lookups for delivery receipts in the store of history: deliveries by a vendor's own ids, and changes of account
health."""

from collections.abc import Sequence
from typing import Final, Protocol

from clarion.domain.history import Chunk, Delivery, HealthChange

REPEATABLE: Final = frozenset({"opened", "clicked", "deferred", "read"})
"""Kinds of receipts that may arrive repeatedly for one delivery; all are counted, and only the first ones of each kind
are stored in the timeline."""
BY_VENDOR_ID: Final = frozenset({"termii", "twilio", "ses"})
"""Vendors by whose own ids deliveries are looked up: some of their receipts do not contain the reference."""


class ReceiptLookup(Protocol):
    """Lookups within one tenant, for receipts and for the monitoring of accounts."""

    async def deliveries(self, tenant: str, delivery_ids: Sequence[bytes]) -> dict[bytes, Delivery]:
        """Return deliveries by id."""
        ...

    async def deliveries_by_vendor_id(
        self, tenant: str, vendor: str, vendor_message_ids: Sequence[str]
    ) -> dict[str, Delivery]:
        """Return deliveries by the vendor's message ids, for vendors whose receipts do not contain the reference."""
        ...

    async def chunks_by_id(self, tenant: str, chunk_ids: Sequence[bytes]) -> dict[bytes, Chunk]:
        """Return chunks of broadcasts by id."""
        ...

    async def health_changes(
        self, tenant: str, provider: str | None, from_ms: int, to_ms: int, limit: int
    ) -> list[HealthChange]:
        """Return changes of health of the tenant's accounts, or of one of them, at or after `from_ms` and before
        `to_ms`, newest first."""
        ...
