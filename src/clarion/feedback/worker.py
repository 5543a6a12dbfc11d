"""Receives a provider's call: verify it, find the deliveries, store its receipts, and only then return success."""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, TypeAlias, cast

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import Malformed, Overloaded, Unauthorized
from clarion.domain.limits_delivery import RECEIPT_WARNING_MS, RECEIPT_WARNINGS_MAX, RECEIPTS_REMEMBERED_MAX
from clarion.domain.limits_processes import FRAME_RECORDS_MAX, SECRET_RETRY_MS
from clarion.domain.security_events import SecurityEvent
from clarion.feedback.decide import FeedbackResult, SuppressionChanges, decide
from clarion.feedback.gather import FeedbackGatherer
from clarion.feedback.worker_keys import KeyFetcher
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import Suppressions
from clarion.ports.directory import Directory
from clarion.ports.egress import HttpEgress
from clarion.ports.receipt_lookup import ReceiptLookup
from clarion.ports.receipts import (
    Forged,
    Handshake,
    Inbound,
    NeedKey,
    Receipt,
    ReceiptCall,
    ReceiptVendor,
    Unreadable,
)
from clarion.ports.secret_stores import Secrets, SecretUnavailable
from clarion.ports.stage_store import AcceptState, StageResult, StageStore, StaleKey
from clarion.ports.telemetry import Telemetry
from clarion.ports.vendor import Vendor

_Read: TypeAlias = "list[Receipt | Inbound] | Handshake | Forged | Unreadable"
_REFUSAL: Final = "the call is not provably the provider's"
_KEYS_PER_CALL_MAX: Final = 2
_STEP_MAX: Final = FRAME_RECORDS_MAX


class Feedback:
    """Receives calls of all providers. Its caches only save work; correctness does not depend on them."""

    def __init__(
        self,
        directory: Directory,
        vendors: Mapping[tuple[Channel, str], Vendor],
        state: ReceiptLookup,
        suppressions: Suppressions,
        store: StageStore,
        http: HttpEgress,
        clock: Clock,
        telemetry: Telemetry,
        secrets: Secrets | None = None,
    ) -> None:
        self._directory = directory
        self._vendors = vendors
        self._suppressions = suppressions
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._secrets = secrets
        self._gatherer = FeedbackGatherer(state, store, clock)
        self._keys = KeyFetcher(http, clock)
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._warned: dict[tuple[str, str, str], int] = {}

    async def receive(self, tenant: str, provider: str, call: ReceiptCall) -> str:
        """Return the response text, once everything in the call is durable. Raises `Unauthorized` for a bad signature
        and, indistinguishably, for an unknown tenant or provider, `Malformed`, and `Overloaded` when the provider
        should retry."""
        account = await self._directory.account(tenant, provider)
        vendor = None if account is None else self._vendors.get((account.channel, account.vendor))
        if account is None or vendor is None or not hasattr(vendor, "read_receipts"):
            raise Unauthorized(_REFUSAL)
        account = await self._resolve(account)
        match await self._read(cast(ReceiptVendor, vendor), account, call):
            case Forged(detail=detail):
                raise self._refused(account, "forged", detail)
            case Unreadable(detail=detail):
                self._warn(account, "receipt_unreadable", detail)
                raise Malformed("the call cannot be read")
            case Handshake(echo=echo, confirm_url=url):
                if url:
                    await self._keys.confirm(url)
                    self._telemetry.log("info", "receipts_confirmed", tenant=tenant, provider=provider)
                return echo
            case list() as parsed:
                digest = blake2b(call.body, digest_size=16).digest()
                for start in range(0, len(parsed), _STEP_MAX):
                    await self._step(account, parsed[start : start + _STEP_MAX], digest)
        return ""

    async def _resolve(self, account: Account) -> Account:
        """Return an account with the values of its references. Raises `Overloaded` when one of them cannot be read."""
        if not account.references or self._secrets is None:
            return account
        try:
            return await self._secrets.resolve(account)
        except SecretUnavailable:
            raise Overloaded("the call cannot be verified now", retry_after_s=SECRET_RETRY_MS // 1000) from None

    async def _read(self, vendor: ReceiptVendor, account: Account, call: ReceiptCall) -> _Read:
        keys: dict[str, bytes] = {}
        while True:
            parsed = vendor.read_receipts(call, account, now_ms=self._clock.now_ms(), keys=keys)
            if not isinstance(parsed, NeedKey):
                return parsed
            if parsed.url in keys or len(keys) == _KEYS_PER_CALL_MAX:
                return Forged("the key it names is invalid")
            keys[parsed.url] = await self._keys.get(parsed.url)

    async def _step(self, account: Account, parsed: Sequence[Receipt | Inbound], digest: bytes) -> None:
        fresh = [one for one in parsed if self._name(account, one) not in self._seen]
        facts = await self._gatherer.gather(account, fresh)
        result = decide(account, fresh, facts, digest, self._clock.now_ms())
        await self._commit(account, result)
        self._count(account, result)
        self._remember(account, fresh)

    async def _commit(self, account: Account, result: FeedbackResult) -> None:
        """Store frames first, then the changes they imply. An inbound message is stored as seen after it was applied:
        the provider repeats a call that was interrupted in between."""
        stored = result.stored
        if stored.frames or stored.accept_state.idempotency:
            try:
                await self._store.commit(stored)
            except StaleKey:
                raise self._refused(account, "token_reused", "its token was used for another body") from None
        for changed in (result.changed, *result.by_words):
            await self._change(account, changed)
        if result.seen_messages:
            await self._store.commit(StageResult(accept_state=AcceptState(result.seen_messages)))

    async def _change(self, account: Account, changed: SuppressionChanges) -> None:
        for reason in changed.unreadable:
            self._warn(account, "receipt_address_unreadable", reason)
        for one in changed.lifted:
            await self._suppressions.lift(account.tenant, account.channel, one.address, one.reason, one.asked_ms)
        if changed.added:
            await self._suppressions.add_missing(account.tenant, changed.added)

    def _count(self, account: Account, result: FeedbackResult) -> None:
        for word in result.words:
            self._telemetry.count("inbound", 1, vendor=account.vendor, word=word)
        for (kind, known), number in Counter(result.receipts).items():
            matched = "yes" if known else "no"
            self._telemetry.count("receipts", number, vendor=account.vendor, kind=kind, matched=matched)

    def _name(self, account: Account, parsed: Receipt | Inbound) -> bytes:
        text = "\0".join((account.tenant, account.name, parsed.event_id))
        return blake2b(text.encode(errors="replace"), digest_size=16).digest()

    def _remember(self, account: Account, parsed: Sequence[Receipt | Inbound]) -> None:
        seen = self._seen
        # A key that does not cover the body is looked up in the store each time: its use for another body must be
        # detected.
        seen.update((self._name(account, one), None) for one in parsed if not getattr(one, "once", False))
        while len(seen) > RECEIPTS_REMEMBERED_MAX:
            seen.popitem(last=False)

    def _refused(self, account: Account, reason: str, detail: str) -> Unauthorized:
        event = SecurityEvent.RECEIPT_REFUSED
        self._telemetry.security(event, tenant=account.tenant, subject=account.name, reason=reason)
        self._warn(account, "receipt_refused", detail)
        return Unauthorized(_REFUSAL)

    def _warn(self, account: Account, event: str, detail: str) -> None:
        """Log an error in an account's calls, at most once a minute: anyone may make calls, and a flood of them must
        not hide other entries."""
        now_ms, account_name = self._clock.monotonic_ms(), (account.tenant, account.name, event)
        if now_ms < self._warned.get(account_name, now_ms):
            return
        if len(self._warned) >= RECEIPT_WARNINGS_MAX:
            self._warned.clear()
        self._warned[account_name] = now_ms + RECEIPT_WARNING_MS
        self._telemetry.log(
            "warning", event, tenant=account_name[0], provider=account_name[1], vendor=account.vendor, detail=detail
        )
