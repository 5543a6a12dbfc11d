"""The history in memory: the API's and feedback's reads of the tables."""

import copy
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from msgspec.structs import replace

from clarion.domain.history import (
    Attempt,
    Capture,
    Chunk,
    ChunkState,
    DeadLetter,
    Delivery,
    HealthChange,
    Instance,
    Notification,
    Progress,
)
from clarion.domain.limits import RECIPIENTS_MAX
from clarion.domain.limits_delivery import REPLAY_CLAIM_MS
from clarion.ports.history import DeadLetterFilter, ListWindow
from clarion.ports.receipt_lookup import BY_VENDOR_ID
from clarion.ports.seen_receipts import Seen
from clarion.stores.memory.state_tables import END, Letter, Rows, Tables

V = TypeVar("V")


class MemoryHistory:
    """Implements `ports.history.History`, `ports.receipt_lookup.ReceiptLookup` and `ports.seen_receipts.SeenReceipts`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def notification(self, tenant: str, notification_id: bytes) -> Notification | None:
        """Return a notification that was planned or scheduled, or None."""
        rows = self._tables.notifications.get(tenant)
        return None if rows is None else rows.get(notification_id)

    async def notifications(self, tenant: str, window: ListWindow) -> list[Notification]:
        """Return notifications, newest first."""
        found = _windowed(self._tables.notifications.get(tenant), window)
        return list(islice(found, window.limit))

    async def deliveries_of(self, tenant: str, notification_ids: Sequence[bytes]) -> dict[bytes, list[Delivery]]:
        """Return the deliveries of notifications that have a row, those of 1,000 recipients at most of each."""
        return _with_any({id_: self._deliveries_of(tenant, id_) for id_ in notification_ids})

    def _deliveries_of(self, tenant: str, notification_id: bytes) -> list[Delivery]:
        between = self._tables.deliveries.between(notification_id, notification_id + END)
        rows = sorted((row for row in between if row.tenant == tenant), key=lambda row: (row.planned_ms, row.id))
        return [copy.copy(row) for row in rows[: 8 * RECIPIENTS_MAX]]

    async def request_facts(self, tenant: str, digests: Collection[bytes]) -> dict[bytes, bytes]:
        """Return the shared facts (JSON) behind the decisions on the tenant's deliveries with these digests."""
        return {one: self._tables.settings[one] for one in digests if one in self._tables.settings}

    async def deliveries(self, tenant: str, delivery_ids: Sequence[bytes]) -> dict[bytes, Delivery]:
        """Return deliveries by id."""
        rows = {id_: self._tables.deliveries.get(id_) for id_ in delivery_ids}
        return {id_: copy.copy(row) for id_, row in rows.items() if row is not None and row.tenant == tenant}

    async def attempts_of(self, tenant: str, delivery_ids: Sequence[bytes]) -> list[Attempt]:
        """Return the attempts and events of deliveries other than their acceptance, by delivery and in order."""
        receipts_kept = [self._tables.attempts.get((id_, tenant), {}) for id_ in delivery_ids]
        return [copy.copy(of_one[key]) for of_one in receipts_kept for key in sorted(of_one)]

    async def cancellations(self, tenant: str, subject_ids: Sequence[bytes]) -> dict[bytes, int]:
        """Return when notifications or broadcasts were cancelled; those that were not are left out."""
        found = self._tables.cancellations
        return {id_: found[tenant, id_] for id_ in subject_ids if (tenant, id_) in found}

    async def instances_of(self, tenant: str, notification_ids: Sequence[bytes]) -> dict[bytes, list[Instance]]:
        """Return the workflow instances of notifications, by user."""
        found: dict[bytes, list[Instance]] = {id_: [] for id_ in notification_ids}
        for (owner, _), row in self._tables.instances.items():
            if owner == tenant and row.notification_id in found:
                found[row.notification_id].append(row)
        for rows in found.values():
            rows.sort(key=lambda row: (row.user_id, row.id))
            del rows[RECIPIENTS_MAX:]
        return _with_any(found)

    async def progress_of(self, tenant: str, instance_ids: Sequence[bytes]) -> list[Progress]:
        """Return the progress of instances, by instance and in order."""
        return [row for id_ in instance_ids for row in self._tables.progress.get((tenant, id_), ())]

    async def totals(self, tenant: str, broadcast_id: bytes) -> list[tuple[str, int, int, int]]:
        """Return (channel, state, reason, deliveries) of a broadcast."""
        return sorted(
            (channel, int(state), int(reason), count)
            for (owner, id_, channel, state, reason), count in self._tables.totals.items()
            if owner == tenant and id_ == broadcast_id and count > 0
        )

    async def chunks(
        self, tenant: str, broadcast_id: bytes, after: bytes | None, limit: int, ordinal: int | None = None
    ) -> list[tuple[Chunk, ChunkState]]:
        """Return chunks of a broadcast with ids from `after` on, ascending; with `ordinal` only those whose range holds
        it."""
        tables = self._tables
        between = tables.chunks.between(after or broadcast_id, broadcast_id + END)
        rows = (
            (chunk, copy.copy(state))
            for chunk in between
            if chunk.tenant == tenant
            and (ordinal is None or chunk.min_ordinal <= ordinal <= chunk.max_ordinal)
            and (state := tables.chunk_states.get(chunk.chunk_id)) is not None
        )
        return list(islice(rows, limit))

    async def dead_letters(self, tenant: str, window: ListWindow, only: DeadLetterFilter) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        return [copy.copy(letter.row) for letter in islice(self._dead(tenant, window, only), window.limit)]

    async def count_dead_letters(self, tenant: str, window: ListWindow, only: DeadLetterFilter) -> int:
        """Return the number of dead letters, `window.limit` at most."""
        return sum(1 for _ in islice(self._dead(tenant, window, only), window.limit))

    async def dead_letter(self, tenant: str, delivery_id: bytes) -> DeadLetter | None:
        """Return one dead letter, or None when there is none."""
        letter = self._letters(tenant).get(delivery_id)
        return None if letter is None else copy.copy(letter.row)

    async def claim_replays(self, tenant: str, delivery_ids: Sequence[bytes], now_ms: int) -> set[bytes]:
        """Claim dead letters for replay and return the ids of those that the caller has claimed now."""
        claimed: set[bytes] = set()
        letters = self._letters(tenant)
        for id_ in delivery_ids:
            letter = letters.get(id_)
            if letter is None or letter.row.replayed_ms is not None:
                continue
            if letter.claimed_ms is None or letter.claimed_ms <= now_ms - REPLAY_CLAIM_MS:
                letters.put(id_, letter._replace(claimed_ms=now_ms))
                claimed.add(id_)
        return claimed

    async def settle_replays(self, tenant: str, delivery_ids: Sequence[bytes], claimed_ms: int) -> None:
        """Mark dead letters that were claimed at `claimed_ms` and are on the journal now as replayed."""
        letters = self._letters(tenant)
        for id_ in delivery_ids:
            letter = letters.get(id_)
            if letter is not None and letter.claimed_ms == claimed_ms and letter.row.replayed_ms is None:
                letters.put(id_, letter._replace(row=replace(letter.row, replayed_ms=claimed_ms)))

    async def captures(
        self, tenant: str, window: ListWindow, channel: str | None, user_id: str | None
    ) -> list[Capture]:
        """Return captured sandbox messages, newest first."""
        found = (
            capture
            for of_delivery in _windowed(self._tables.captures.get(tenant), window)
            for _, capture in sorted(of_delivery.items(), reverse=True)
            if channel in (None, capture.channel) and user_id in (None, capture.user_id)
        )
        return list(islice(found, window.limit))

    async def counters(self, tenant: str, from_ms: int, to_ms: int, limit: int) -> list[tuple[int, str, str, int, int]]:
        """Return (minute, channel, event, reason, count) in order of time."""
        rows = sorted(
            (minute_ms, channel, what, int(reason), count)
            for (minute_ms, owner, channel, what, reason), count in self._tables.counters.items()
            if owner == tenant and from_ms <= minute_ms < to_ms
        )
        return rows[:limit]

    async def seen_ms(self, wanted: Collection[Seen]) -> dict[Seen, int]:
        """Return the time of the last seen receipt for those pairs of user and notification that have one."""
        found: dict[Seen, int] = {}
        for tenant, notification_id, user_id in wanted:
            times = self._tables.seen_receipts.get((tenant, notification_id), {}).get(user_id)
            if times is not None:
                found[tenant, notification_id, user_id] = times[1]
        return found

    async def seen_by(self, tenant: str, notification_id: bytes) -> list[tuple[str, int]]:
        """Return the users who saw the notification with the time of their first seen receipt, in the order of user
        ids."""
        seen = self._tables.seen_receipts.get((tenant, notification_id), {})
        return sorted((user_id, first_ms) for user_id, (first_ms, _) in seen.items())[:RECIPIENTS_MAX]

    async def deliveries_by_vendor_id(
        self, tenant: str, vendor: str, vendor_message_ids: Sequence[str]
    ) -> dict[str, Delivery]:
        """Return deliveries by the vendor's own message ids."""
        found: dict[str, Delivery] = {}
        for name in vendor_message_ids if vendor in BY_VENDOR_ID else ():
            id_ = self._tables.by_vendor_id.get((tenant, vendor, name))
            row = None if id_ is None else self._tables.deliveries.get(id_)
            if row is not None and (row.vendor, row.vendor_message_id) == (vendor, name):
                found[name] = copy.copy(row)
        return found

    async def chunks_by_id(self, tenant: str, chunk_ids: Sequence[bytes]) -> dict[bytes, Chunk]:
        """Return chunks of broadcasts."""
        found = map(self._tables.chunks.get, chunk_ids)
        return {chunk.chunk_id: chunk for chunk in found if chunk is not None and chunk.tenant == tenant}

    async def health_changes(
        self, tenant: str, provider: str | None, from_ms: int, to_ms: int, limit: int
    ) -> list[HealthChange]:
        """Return changes of account health, newest first."""
        rows = [
            (row.at_ms, sequence, row)
            for sequence, row in enumerate(self._tables.health_changes.get(tenant, ()))
            if from_ms <= row.at_ms < to_ms and provider in (None, row.provider)
        ]
        return [row for _, _, row in sorted(rows, key=lambda one: one[:2], reverse=True)[:limit]]

    def _letters(self, tenant: str) -> Rows[Letter]:
        return self._tables.letters.get(tenant) or Rows()

    def _dead(self, tenant: str, window: ListWindow, only: DeadLetterFilter) -> Iterator[Letter]:
        for letter in _windowed(self._tables.letters.get(tenant), window):
            if self._fits(letter.row, only):
                yield letter

    def _fits(self, row: DeadLetter, only: DeadLetterFilter) -> bool:
        pairs = ((only.channel, row.channel), (only.user_id, row.user_id), (only.reason, row.reason))
        if any(wanted is not None and wanted != value for wanted, value in pairs):
            return False
        if only.replayed is not None and (row.replayed_ms is not None) != only.replayed:
            return False
        if only.dead_from_ms is not None and row.dead_ms < only.dead_from_ms:
            return False
        if only.dead_to_ms is not None and row.dead_ms >= only.dead_to_ms:
            return False
        if (only.provider, only.vendor, only.address) == (None, None, None):
            return True
        delivery = self._tables.deliveries.get(row.delivery_id)
        if delivery is None or delivery.tenant != row.tenant:
            return False
        return (
            only.provider in (None, delivery.provider)
            and only.vendor in (None, delivery.vendor)
            and (only.address is None or _same_address(delivery, only.address))
        )


def _same_address(delivery: Delivery, address: str) -> bool:
    if delivery.address == address:
        return True
    return delivery.channel == "email" and _lower(delivery.address) == _lower(address)


def _lower(text: str) -> str:
    """Return a text with its ASCII letters in lower case, for comparing addresses."""
    return "".join(char.lower() if char.isascii() else char for char in text)


def _windowed(rows: Rows[V] | None, window: ListWindow) -> Iterable[V]:
    """Yield the rows of a window, newest first; the caller applies its limit."""
    if rows is None:
        return
    low, high = _edge(window.from_ms), _edge(window.to_ms)
    for id_, row in rows.newest(window.before):
        if low is not None and id_ < low:
            return
        if high is None or id_ < high:
            yield row


def _edge(at_ms: int | None) -> bytes | None:
    return None if at_ms is None else min(max(at_ms, 0), (1 << 48) - 1).to_bytes(6, "big")


def _with_any(found: dict[bytes, list[V]]) -> dict[bytes, list[V]]:
    return {id_: rows for id_, rows in found.items() if rows}
