"""Which delivery a receipt is about, and the frames that say so."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from clarion.domain import ids
from clarion.domain.content import Account
from clarion.domain.limits import ATTEMPT_DETAIL_CHARS_MAX, FRAME_RECORDS_MAX
from clarion.domain.limits_feedback import RECEIPT_CHUNKS_MAX
from clarion.domain.limits_receipts import RECEIPT_AHEAD_MS_MAX
from clarion.feedback.rules.worth import moment_ms
from clarion.journal.codec import encode
from clarion.journal.events import ReceiptFrame
from clarion.journal.topics import OUTCOMES
from clarion.ports.journal import Frame
from clarion.ports.receipts import Receipt
from clarion.ports.told import BY_VENDOR_ID, ToldHistory

_UNPACK: Final = msgspec.msgpack.Decoder().decode


class Match(NamedTuple):
    """The delivery a receipt is about, and its place in a chunk. It is `known` once it has been recorded; `user_id` and
    `address` are those of a broadcast's delivery."""

    delivery_id: bytes
    place: tuple[bytes, int] | None
    known: bool
    user_id: str = ""
    address: str = ""


class _Members(NamedTuple):
    channel: str
    user_ids: list[str]
    addresses: list[str] | None


class Matcher:
    """Finds deliveries of one tenant by our references and by vendors' ids. Chunks looked at lately are kept."""

    def __init__(self, state: ToldHistory, partitions: int) -> None:
        self._state = state
        self._partitions = partitions
        self._chunks: OrderedDict[tuple[str, bytes], _Members] = OrderedDict()

    def match(self, account: Account, receipt: Receipt, now_ms: int) -> Match | None:
        """Return what a receipt is about, None for nothing of this tenant."""
        named = ids.read_reference(receipt.reference)
        if named is None:
            return self._by_vendor_id(account, receipt.vendor_message_id)
        delivery_id, place = named
        if ids.created_ms(delivery_id) > now_ms + RECEIPT_AHEAD_MS_MAX or self.partition(*named) >= self._partitions:
            return None
        if place is not None:
            return self._in_chunk(account.tenant, delivery_id, place)
        return Match(delivery_id, None, bool(self._state.deliveries(account.tenant, [delivery_id])))

    def partition(self, delivery_id: bytes, place: tuple[bytes, int] | None) -> int:
        """Return the partition whose record worker knows a delivery."""
        return ids.partition_of(delivery_id) if place is None else place[0][-1] % self._partitions

    def _by_vendor_id(self, account: Account, id_: str) -> Match | None:
        if not id_ or account.vendor not in BY_VENDOR_ID:
            return None
        row = self._state.delivery_by_vendor_id(account.tenant, account.vendor, id_)
        if row is None:
            return None
        place = None if row.chunk_id is None else (row.chunk_id, row.chunk_index)
        return Match(row.id, place, True, row.user_id, row.address)

    def _in_chunk(self, tenant: str, delivery_id: bytes, place: tuple[bytes, int]) -> Match | None:
        """Return the match of a broadcast's delivery: the chunk has to hold it where the reference says."""
        chunk_id, index = place
        key = (tenant, chunk_id)
        members = self._chunks.get(key)
        if members is None:
            chunk = self._state.chunk(tenant, chunk_id)
            if chunk is None:
                return Match(delivery_id, place, False)
            addresses = _UNPACK(chunk.addresses) if chunk.addresses else None
            members = self._chunks[key] = _Members(chunk.channel, _UNPACK(chunk.user_ids), addresses)
            if len(self._chunks) > RECEIPT_CHUNKS_MAX:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(key)
        if index >= len(members.user_ids):
            return None
        user_id, address = members.user_ids[index], members.addresses[index] if members.addresses else ""
        if ids.delivery_id(ids.notification_of(chunk_id), user_id, members.channel, address) != delivery_id:
            return None
        return Match(delivery_id, place, True, user_id, address)


def frames(
    account: Account, matched: Sequence[tuple[Receipt, Match]], matcher: Matcher, now_ms: int
) -> Iterable[Frame]:
    """Return the frames of `outcomes` that tell receipts, of each partition its own."""
    by_partition: dict[int, list[tuple[Receipt, Match]]] = {}
    for pair in matched:
        by_partition.setdefault(matcher.partition(pair[1].delivery_id, pair[1].place), []).append(pair)
    for partition, pairs in by_partition.items():
        for start in range(0, len(pairs), FRAME_RECORDS_MAX):
            part = pairs[start : start + FRAME_RECORDS_MAX]
            yield Frame(OUTCOMES, partition, len(part), encode(_frame(account, part, now_ms), len(part)))


def _frame(account: Account, pairs: Sequence[tuple[Receipt, Match]], now_ms: int) -> ReceiptFrame:
    return ReceiptFrame(
        channel=account.channel,
        provider=account.name,
        vendor=account.vendor,
        delivery_ids=[match.delivery_id for _, match in pairs],
        tenants=[account.tenant] * len(pairs),
        places=[match.place for _, match in pairs],
        kinds=[receipt.kind for receipt, _ in pairs],
        at_ms=[moment_ms(receipt.at_ms, ids.created_ms(match.delivery_id), now_ms) for receipt, match in pairs],
        details=[receipt.detail[:ATTEMPT_DETAIL_CHARS_MAX] for receipt, _ in pairs],
        user_ids=[match.user_id for _, match in pairs],
        addresses=[match.address for _, match in pairs],
    )
