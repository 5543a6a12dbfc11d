"""Takes a provider's call: believe it, find the deliveries, store what it tells, and only then say yes."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, TypeAlias, cast

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import Malformed, Unauthorized
from clarion.domain.limits import FRAME_RECORDS_MAX
from clarion.domain.limits_feedback import (
    RECEIPT_MATCH_PAUSE_MS,
    RECEIPT_MATCH_WAIT_MS,
    RECEIPT_ONCE_MS,
    RECEIPT_WAITERS_MAX,
    RECEIPT_WARNING_MS,
    RECEIPT_WARNINGS_MAX,
    RECEIPTS_REMEMBERED_MAX,
    WORD_ONCE_MS,
)
from clarion.feedback.matching import Match, Matcher, frames
from clarion.feedback.rules.worth import STOP, moment_ms, suppressible, until_ms
from clarion.feedback.worker_keys import Keys
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import Suppression, Suppressions
from clarion.ports.directory import Directory
from clarion.ports.egress import HttpEgress
from clarion.ports.journal import Append, IdempotencyEntry, Journal, StaleKey
from clarion.ports.receipts import (
    Forged,
    Handshake,
    Inbound,
    NeedKey,
    Receipt,
    ReceiptCall,
    ReceiptVendor,
    Suppress,
    Unreadable,
)
from clarion.ports.telemetry import Telemetry
from clarion.ports.told import BY_VENDOR_ID, ToldHistory
from clarion.ports.vendor import Vendor

_Read: TypeAlias = "list[Receipt | Inbound] | Handshake | Forged | Unreadable"
_REFUSAL: Final = "the call is not provably the provider's"
_KEYS_PER_CALL_MAX: Final = 2
_STEP_MAX: Final = FRAME_RECORDS_MAX


class Feedback:
    """Takes calls of all providers. Nothing here is needed to stay correct: what it remembers only saves work."""

    def __init__(
        self,
        directory: Directory,
        vendors: Mapping[tuple[Channel, str], Vendor],
        state: ToldHistory,
        suppressions: Suppressions,
        journal: Journal,
        http: HttpEgress,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._directory = directory
        self._vendors = vendors
        self._suppressions = suppressions
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self._matcher = Matcher(state, journal.partitions)
        self._keys = Keys(http, clock)
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._warned: dict[tuple[str, str, str], int] = {}
        self._waiters = 0

    async def take(self, tenant: str, provider: str, call: ReceiptCall) -> str:
        """Return the text to answer with, once all that was told is durable. Raises `Unauthorized`, the same for a tenant or
        provider there is not as for a bad signature, `Malformed`, and `Overloaded` when the provider should come again."""
        account = self._directory.account(tenant, provider)
        vendor = None if account is None else self._vendors.get((account.channel, account.vendor))
        if account is None or vendor is None or not hasattr(vendor, "read_receipts"):
            raise Unauthorized(_REFUSAL)
        match await self._read(cast(ReceiptVendor, vendor), account, call):
            case Forged(detail=detail):
                self._warn(account, "receipt_refused", detail)
                raise Unauthorized(_REFUSAL)
            case Unreadable(detail=detail):
                self._warn(account, "receipt_unreadable", detail)
                raise Malformed("the call cannot be read")
            case Handshake(echo=echo, confirm_url=url):
                if url:
                    await self._keys.confirm(url)
                    self._telemetry.log("info", "receipts_confirmed", tenant=tenant, provider=provider)
                return echo
            case list() as told:
                digest = blake2b(call.body, digest_size=16).digest()
                for start in range(0, len(told), _STEP_MAX):
                    await self._store(account, told[start : start + _STEP_MAX], digest)
        return ""

    async def _read(self, vendor: ReceiptVendor, account: Account, call: ReceiptCall) -> _Read:
        keys: dict[str, bytes] = {}
        while True:
            told = vendor.read_receipts(call, account, now_ms=self._clock.now_ms(), keys=keys)
            if not isinstance(told, NeedKey):
                return told
            if told.url in keys or len(keys) == _KEYS_PER_CALL_MAX:
                return Forged("the key it names is none")
            keys[told.url] = await self._keys.get(told.url)

    async def _store(self, account: Account, told: Sequence[Receipt | Inbound], digest: bytes) -> None:
        fresh = [one for one in told if self._name(account, one) not in self._seen]
        receipts = [one for one in fresh if isinstance(one, Receipt)]
        words = [one for one in fresh if isinstance(one, Inbound) and not self._was_said(account, one)]
        matched = await self._matched(account, receipts)
        now_ms = self._clock.now_ms()
        pairs = [(receipt, match) for receipt, match in zip(receipts, matched, strict=True) if match is not None]
        once = [_entry(account, one.event_id, digest, now_ms + RECEIPT_ONCE_MS) for one in receipts if one.once]
        if pairs or once:
            try:
                told_frames = list(frames(account, pairs, self._matcher, now_ms))
                await self._journal.append(Append(frames=told_frames, idempotency=once))
            except StaleKey:
                self._warn(account, "receipt_refused", "its token was used for another body")
                raise Unauthorized(_REFUSAL) from None
        wanted = [(one.suppress, moment_ms(one.at_ms, 1, now_ms)) for one in receipts if one.suppress is not None]
        await self._suppress(account, wanted, now_ms)
        for word in words:
            await self._heed(account, word, now_ms)
        self._count(account, receipts, matched)
        self._remember(account, fresh)

    async def _matched(self, account: Account, receipts: Sequence[Receipt]) -> list[Match | None]:
        """Return the match of each receipt. One whose delivery may be about to be recorded is looked for a while."""
        match, now_ms = self._matcher.match, self._clock.now_ms()
        found = [match(account, receipt, now_ms) for receipt in receipts]
        if self._waiters >= RECEIPT_WAITERS_MAX:
            return found
        self._waiters += 1
        try:
            waited_ms, pause_ms = 0, RECEIPT_MATCH_PAUSE_MS
            while waited_ms < RECEIPT_MATCH_WAIT_MS and (
                early := [i for i, receipt in enumerate(receipts) if _may_come(account, receipt, found[i])]
            ):
                await asyncio.sleep(min(pause_ms, RECEIPT_MATCH_WAIT_MS - waited_ms) / 1000)
                waited_ms, pause_ms = waited_ms + pause_ms, 2 * pause_ms
                for i in early:
                    found[i] = match(account, receipts[i], now_ms)
        finally:
            self._waiters -= 1
        return found

    async def _suppress(self, account: Account, wanted: Sequence[tuple[Suppress, int]], now_ms: int) -> None:
        """Suppress and lift addresses, each with the time it was wanted at: calls come in any order, and what lifts does not
        undo what was wanted later."""
        learned = []
        for one, said_ms in wanted:
            address = suppressible(account.channel, one.address)
            if address is None:
                self._warn(account, "receipt_address_unreadable", one.reason)
            elif one.lift:
                await self._suppressions.lift(account.tenant, account.channel, address, one.reason, said_ms)
            else:
                expires_ms = until_ms(now_ms, one.ttl_ms)
                learned.append(Suppression(account.channel, address, one.reason, said_ms, expires_ms))
        if learned:
            await self._suppressions.learn(account.tenant, learned)

    async def _heed(self, account: Account, word: Inbound, now_ms: int) -> None:
        """Do what a person asked for. Told again, or late, a START would undo a STOP that came in between: each counts once,
        and for the time it was said at."""
        self._telemetry.count("inbound", 1, vendor=account.vendor, word=word.word)
        if word.word in ("stop", "start"):
            asked = Suppress(word.address, STOP, lift=word.word == "start")
            await self._suppress(account, [(asked, moment_ms(word.at_ms, 1, now_ms))], now_ms)
            remembered = _entry(account, word.event_id, b"", now_ms + WORD_ONCE_MS)
            await self._journal.append(Append(idempotency=[remembered]))

    def _was_said(self, account: Account, word: Inbound) -> bool:
        key = _once_key(account, word.event_id)
        return self._journal.idempotency(account.tenant, key, self._clock.now_ms()) is not None

    def _count(self, account: Account, receipts: Sequence[Receipt], matched: Sequence[Match | None]) -> None:
        for receipt, match in zip(receipts, matched, strict=True):
            known = "yes" if match is not None and match.known else "no"
            self._telemetry.count("receipts", 1, vendor=account.vendor, kind=receipt.kind, matched=known)

    def _name(self, account: Account, told: Receipt | Inbound) -> bytes:
        text = "\0".join((account.tenant, account.name, told.event_id))
        return blake2b(text.encode(errors="replace"), digest_size=16).digest()

    def _remember(self, account: Account, told: Sequence[Receipt | Inbound]) -> None:
        seen = self._seen
        # What covers no body is looked up where it is remembered for good: another body has to be noticed.
        seen.update((self._name(account, one), None) for one in told if not getattr(one, "once", False))
        while len(seen) > RECEIPTS_REMEMBERED_MAX:
            seen.popitem(last=False)

    def _warn(self, account: Account, event: str, detail: str) -> None:
        """Log what is wrong with an account's calls, once a minute: anyone may make them, and so hides nothing else."""
        now_ms, who = self._clock.monotonic_ms(), (account.tenant, account.name, event)
        if now_ms < self._warned.get(who, now_ms):
            return
        if len(self._warned) >= RECEIPT_WARNINGS_MAX:
            self._warned.clear()
        self._warned[who] = now_ms + RECEIPT_WARNING_MS
        self._telemetry.log("warning", event, tenant=who[0], provider=who[1], vendor=account.vendor, detail=detail)


def _may_come(account: Account, receipt: Receipt, match: Match | None) -> bool:
    """Return whether waiting may find a receipt's delivery: its row or chunk is not recorded yet."""
    if match is None:
        return not receipt.reference and bool(receipt.vendor_message_id) and account.vendor in BY_VENDOR_ID
    return match.place is not None and not match.known


def _entry(account: Account, event_id: str, digest: bytes, expires_ms: int) -> IdempotencyEntry:
    return IdempotencyEntry(account.tenant, _once_key(account, event_id), digest, b"", expires_ms)


def _once_key(account: Account, event_id: str) -> str:
    # No key that comes in a header begins with a control character.
    return f"\x1freceipt:{account.name}:{event_id}"
