"""Which delivery a receipt is about: the lookups needed, and the match from their results."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from clarion.domain import ids
from clarion.domain.content import Account
from clarion.domain.history import Chunk
from clarion.domain.limits_delivery import RECEIPT_AHEAD_MS_MAX
from clarion.ports.receipt_lookup import BY_VENDOR_ID
from clarion.ports.receipts import Receipt

_UNPACK: Final = msgspec.msgpack.Decoder().decode


class ReceiptMatch(NamedTuple):
    """The delivery a receipt is about, and its place in a chunk. It is `known` once it has been recorded; `user_id` and
    `address` are those of a broadcast's delivery."""

    delivery_id: bytes
    place: tuple[bytes, int] | None
    known: bool
    user_id: str = ""
    address: str = ""


class Members(NamedTuple):
    """The members of a chunk, in order, and its channel."""

    channel: str
    user_ids: list[str]
    addresses: list[str] | None


class ReceiptLookups(NamedTuple):
    """The lookups needed to match receipts: deliveries by delivery id and by the vendor's id, and members of chunks."""

    delivery_ids: frozenset[bytes] = frozenset()
    vendor_ids: frozenset[str] = frozenset()
    chunk_ids: frozenset[bytes] = frozenset()


class LookupResults(NamedTuple):
    """The results of `ReceiptLookups`: the ids of recorded deliveries, matches by the vendor's ids, and chunks."""

    delivery_ids: frozenset[bytes]
    by_vendor_id: Mapping[str, ReceiptMatch]
    chunks: Mapping[bytes, Members]


def members_of(chunk: Chunk) -> Members:
    """Return the members of a chunk."""
    addresses = _UNPACK(chunk.addresses) if chunk.addresses else None
    return Members(chunk.channel, _UNPACK(chunk.user_ids), addresses)


def partition_of(delivery_id: bytes, place: tuple[bytes, int] | None, partitions: int) -> int:
    """Return the partition whose record worker records a delivery."""
    return ids.partition_of(delivery_id, partitions) if place is None else place[0][-1] % partitions


def lookups(account: Account, receipts: Iterable[Receipt], now_ms: int, partitions: int) -> ReceiptLookups:
    """Return the lookups needed to match receipts."""
    deliveries: set[bytes] = set()
    vendor_ids: set[str] = set()
    chunks: set[bytes] = set()
    for receipt in receipts:
        named = ids.read_reference(receipt.reference)
        if named is None:
            if receipt.vendor_message_id and account.vendor in BY_VENDOR_ID:
                vendor_ids.add(receipt.vendor_message_id)
        elif _is_plausible(*named, now_ms, partitions):
            delivery_id, place = named
            if place is None:
                deliveries.add(delivery_id)
            else:
                chunks.add(place[0])
    return ReceiptLookups(frozenset(deliveries), frozenset(vendor_ids), frozenset(chunks))


def match(receipt: Receipt, found: LookupResults, now_ms: int, partitions: int) -> ReceiptMatch | None:
    """Return the match of a receipt, None when it is about no delivery of this tenant."""
    named = ids.read_reference(receipt.reference)
    if named is None:
        return found.by_vendor_id.get(receipt.vendor_message_id)
    delivery_id, place = named
    if not _is_plausible(delivery_id, place, now_ms, partitions):
        return None
    if place is None:
        return ReceiptMatch(delivery_id, None, delivery_id in found.delivery_ids)
    return _in_chunk(delivery_id, place, found.chunks.get(place[0]))


def may_appear(account: Account, receipt: Receipt, matched: ReceiptMatch | None) -> bool:
    """Return whether a receipt's delivery may be found later: its row or chunk is not recorded yet."""
    if matched is None:
        return not receipt.reference and bool(receipt.vendor_message_id) and account.vendor in BY_VENDOR_ID
    return matched.place is not None and not matched.known


def early(account: Account, receipts: Sequence[Receipt], matches: Sequence[ReceiptMatch | None]) -> list[int]:
    """Return the indexes of the receipts whose deliveries may be about to be recorded."""
    pairs = enumerate(zip(receipts, matches, strict=True))
    return [i for i, (receipt, matched) in pairs if may_appear(account, receipt, matched)]


def _is_plausible(delivery_id: bytes, place: tuple[bytes, int] | None, now_ms: int, partitions: int) -> bool:
    """Return whether a reference may be genuine: not from the future."""
    return ids.created_ms(delivery_id) <= now_ms + RECEIPT_AHEAD_MS_MAX


def _in_chunk(delivery_id: bytes, place: tuple[bytes, int], members: Members | None) -> ReceiptMatch | None:
    """Return the match of a broadcast's delivery, None when the chunk does not hold it at that place."""
    if members is None:
        return ReceiptMatch(delivery_id, place, False)
    chunk_id, index = place
    if index >= len(members.user_ids):
        return None
    user_id, address = members.user_ids[index], members.addresses[index] if members.addresses else ""
    if ids.delivery_id(ids.notification_of(chunk_id), user_id, members.channel, address) != delivery_id:
        return None
    return ReceiptMatch(delivery_id, place, True, user_id, address)
