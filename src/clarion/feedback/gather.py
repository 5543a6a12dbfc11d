"""Reads the facts about the receipts and inbound messages of one call, in a few reads however many there are."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from clarion.domain.content import Account
from clarion.domain.limits_delivery import (
    RECEIPT_CHUNKS_MAX,
    RECEIPT_MATCH_PAUSE_MS,
    RECEIPT_MATCH_WAIT_MS,
    RECEIPT_WAITERS_MAX,
)
from clarion.feedback.decide import FeedbackFacts, once_key
from clarion.feedback.match import (
    LookupResults,
    Members,
    ReceiptLookups,
    ReceiptMatch,
    early,
    lookups,
    match,
    members_of,
)
from clarion.ports.clock import Clock
from clarion.ports.receipt_lookup import ReceiptLookup
from clarion.ports.receipts import Inbound, Receipt
from clarion.ports.stage_store import StageStore


class FeedbackGatherer:
    """Looks up deliveries and events that were received before. Recently used chunks are cached."""

    def __init__(self, state: ReceiptLookup, store: StageStore, clock: Clock) -> None:
        self._state = state
        self._store = store
        self._clock = clock
        self._chunks: OrderedDict[tuple[str, bytes], Members] = OrderedDict()
        self._waiters = 0

    async def gather(self, account: Account, parsed: Sequence[Receipt | Inbound]) -> FeedbackFacts:
        """Return the match of each receipt and the inbound messages that were applied before. For a receipt whose
        delivery may be about to be recorded, the lookup is repeated for a while."""
        receipts = [one for one in parsed if isinstance(one, Receipt)]
        words = [one for one in parsed if isinstance(one, Inbound)]
        seen_messages = await self._seen_messages(account, words)
        return FeedbackFacts(await self._matches_with_retry(account, receipts), seen_messages, self._store.partitions)

    async def _seen_messages(self, account: Account, words: Sequence[Inbound]) -> frozenset[str]:
        keys = {(account.tenant, once_key(account, word.event_id)): word.event_id for word in words}
        seen_messages = await self._store.remembered(keys, self._clock.now_ms()) if keys else {}
        return frozenset(keys[key] for key in seen_messages)

    async def _matches_with_retry(self, account: Account, receipts: Sequence[Receipt]) -> list[ReceiptMatch | None]:
        now_ms = self._clock.now_ms()
        found = await self._matches(account, receipts, now_ms)
        if self._waiters >= RECEIPT_WAITERS_MAX:
            return found
        self._waiters += 1
        try:
            waited_ms, pause_ms = 0, RECEIPT_MATCH_PAUSE_MS
            while waited_ms < RECEIPT_MATCH_WAIT_MS and (places := early(account, receipts, found)):
                await asyncio.sleep(min(pause_ms, RECEIPT_MATCH_WAIT_MS - waited_ms) / 1000)
                waited_ms, pause_ms = waited_ms + pause_ms, 2 * pause_ms
                again = await self._matches(account, [receipts[i] for i in places], now_ms)
                for i, matched in zip(places, again, strict=True):
                    found[i] = matched
        finally:
            self._waiters -= 1
        return found

    async def _matches(self, account: Account, receipts: Sequence[Receipt], now_ms: int) -> list[ReceiptMatch | None]:
        partitions = self._store.partitions
        found = await self._look_up(account, lookups(account, receipts, now_ms, partitions))
        return [match(receipt, found, now_ms, partitions) for receipt in receipts]

    async def _look_up(self, account: Account, wanted: ReceiptLookups) -> LookupResults:
        state, tenant = self._state, account.tenant
        known = await state.deliveries(tenant, list(wanted.delivery_ids)) if wanted.delivery_ids else {}
        parsed = (
            await state.deliveries_by_vendor_id(tenant, account.vendor, list(wanted.vendor_ids))
            if wanted.vendor_ids
            else {}
        )
        by_vendor_id = {
            id_: ReceiptMatch(
                row.id,
                None if row.chunk_id is None else (row.chunk_id, row.chunk_index),
                True,
                row.user_id,
                row.address,
            )
            for id_, row in parsed.items()
        }
        return LookupResults(frozenset(known), by_vendor_id, await self._members(tenant, wanted.chunk_ids))

    async def _members(self, tenant: str, chunk_ids: frozenset[bytes]) -> dict[bytes, Members]:
        kept = self._chunks
        lacking = [chunk_id for chunk_id in chunk_ids if (tenant, chunk_id) not in kept]
        found = {chunk_id: kept[tenant, chunk_id] for chunk_id in chunk_ids.difference(lacking)}
        if lacking:
            chunks = await self._state.chunks_by_id(tenant, lacking)
            found.update((chunk_id, members_of(chunk)) for chunk_id, chunk in chunks.items())
        for chunk_id, members in found.items():
            kept[tenant, chunk_id] = members
            kept.move_to_end((tenant, chunk_id))
        while len(kept) > RECEIPT_CHUNKS_MAX:
            kept.popitem(last=False)
        return found
