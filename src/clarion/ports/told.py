"""What the store of history knows of what providers told: deliveries by a vendor's own ids, and how accounts stood."""

from collections.abc import Sequence
from typing import Final, Protocol

from clarion.domain.history import Chunk, Delivery, StandingChange

REPEATABLE: Final = frozenset({"opened", "clicked", "deferred", "read"})
"""Kinds of receipts that may come for one delivery again and again; all are counted, the first are told."""
BY_VENDOR_ID: Final = frozenset({"termii", "twilio", "ses"})
"""Vendors whose own ids deliveries are found by: there are messages of theirs that give nothing of ours back."""


class ToldHistory(Protocol):
    """Look-ups within one tenant, for receipts and for whoever watches accounts."""

    async def deliveries(self, tenant: str, delivery_ids: Sequence[bytes]) -> dict[bytes, Delivery]:
        """Return deliveries by id."""
        ...

    async def deliveries_by_vendor_id(
        self, tenant: str, vendor: str, vendor_message_ids: Sequence[str]
    ) -> dict[str, Delivery]:
        """Return the deliveries that a vendor knows by ids of its own, of vendors that give nothing of ours back."""
        ...

    async def chunks_by_id(self, tenant: str, chunk_ids: Sequence[bytes]) -> dict[bytes, Chunk]:
        """Return chunks of broadcasts."""
        ...

    async def standings(
        self, tenant: str, provider: str | None, from_ms: int, to_ms: int, limit: int
    ) -> list[StandingChange]:
        """Return how accounts at providers stood, or one of them, at or after `from_ms` and before `to_ms`, newest first."""
        ...
