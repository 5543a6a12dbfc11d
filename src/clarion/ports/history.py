"""The history as the API reads it. Every lookup is within one tenant; every list is bounded and newest first."""

from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from clarion.domain.history import (
    Attempt,
    Capture,
    Chunk,
    ChunkState,
    DeadLetter,
    Delivery,
    Instance,
    Notification,
    Progress,
)
from clarion.ports.seen_receipts import SeenReceipts


class ListWindow(msgspec.Struct, frozen=True):
    """A page of a list ordered by ids that grow with time: newest first, ids below `before` (None: from the newest),
    created at or after `from_ms` and before `to_ms`."""

    limit: int
    before: bytes | None = None
    from_ms: int | None = None
    to_ms: int | None = None


class DeadLetterFilter(msgspec.Struct, frozen=True):
    """A filter of dead letters; None matches any value. `provider` and `vendor` are of the newest attempt, `address` is
    compared like those of suppressions; the letters died at or after `dead_from_ms` and before `dead_to_ms`."""

    channel: str | None = None
    user_id: str | None = None
    reason: int | None = None
    replayed: bool | None = None
    provider: str | None = None
    vendor: str | None = None
    address: str | None = None
    dead_from_ms: int | None = None
    dead_to_ms: int | None = None


class History(SeenReceipts, Protocol):
    """The read side of the state store, and the claim that prevents two concurrent replays."""

    async def notification(self, tenant: str, notification_id: bytes) -> Notification | None:
        """Return a notification that was planned or scheduled."""
        ...

    async def notifications(self, tenant: str, window: ListWindow) -> list[Notification]:
        """Return notifications, newest first."""
        ...

    async def deliveries_of(self, tenant: str, notification_ids: Sequence[bytes]) -> dict[bytes, list[Delivery]]:
        """Return the deliveries of notifications by the notification's id, of a broadcast those with a row of their own (those of
        1,000 recipients at most of each); ids without any are left out."""
        ...

    async def request_facts(self, tenant: str, digests: Collection[bytes]) -> dict[bytes, bytes]:
        """Return the shared facts (JSON) that deliveries of the tenant were decided from, by their digests; unknown ones are
        left out."""
        ...

    async def deliveries(self, tenant: str, delivery_ids: Sequence[bytes]) -> dict[bytes, Delivery]:
        """Return deliveries by id; unknown ones are left out."""
        ...

    async def attempts_of(self, tenant: str, delivery_ids: Sequence[bytes]) -> list[Attempt]:
        """Return the events of deliveries other than their acceptance, by delivery and in order."""
        ...

    async def cancellations(self, tenant: str, subject_ids: Sequence[bytes]) -> dict[bytes, int]:
        """Return when notifications or broadcasts were cancelled; those that were not are left out."""
        ...

    async def instances_of(self, tenant: str, notification_ids: Sequence[bytes]) -> dict[bytes, list[Instance]]:
        """Return the workflow instances of notifications by the notification's id and in the order of users, `RECIPIENTS_MAX` at
        most of each; ids without any are left out."""
        ...

    async def progress_of(self, tenant: str, instance_ids: Sequence[bytes]) -> list[Progress]:
        """Return the progress of instances, by instance and in order."""
        ...

    async def totals(self, tenant: str, broadcast_id: bytes) -> list[tuple[str, int, int, int]]:
        """Return (channel, state, reason, deliveries) of a broadcast."""
        ...

    async def chunks(
        self, tenant: str, broadcast_id: bytes, after: bytes | None, limit: int, ordinal: int | None = None
    ) -> list[tuple[Chunk, ChunkState]]:
        """Return chunks of a broadcast with ids from `after` (included), ascending; with `ordinal` only those whose
        range holds it."""
        ...

    async def dead_letters(self, tenant: str, window: ListWindow, only: DeadLetterFilter) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        ...

    async def count_dead_letters(self, tenant: str, window: ListWindow, only: DeadLetterFilter) -> int:
        """Return the number of dead letters in a window, `window.limit` at most."""
        ...

    async def dead_letter(self, tenant: str, delivery_id: bytes) -> DeadLetter | None:
        """Return one dead letter."""
        ...

    async def claim_replays(self, tenant: str, delivery_ids: Sequence[bytes], now_ms: int) -> set[bytes]:
        """Claim dead letters for replay and return the ids claimed for this caller: dead, not replayed, and not claimed
        by another caller within the last minute."""
        ...

    async def settle_replays(self, tenant: str, delivery_ids: Sequence[bytes], claimed_ms: int) -> None:
        """Close letters that were claimed at `claimed_ms` and are on the journal now, so that they cannot be claimed
        again before record has folded the replay. A letter that has died again since then stays open."""
        ...

    async def captures(
        self, tenant: str, window: ListWindow, channel: str | None, user_id: str | None
    ) -> list[Capture]:
        """Return captured sandbox messages, newest first."""
        ...

    async def counters(self, tenant: str, from_ms: int, to_ms: int, limit: int) -> list[tuple[int, str, str, int, int]]:
        """Return (minute, channel, event, reason, count) in order of time."""
        ...
