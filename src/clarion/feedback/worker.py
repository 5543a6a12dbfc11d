"""Takes a provider's call: believe it, find the deliveries, store what it tells, and only then say yes."""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, TypeAlias, cast

from clarion.domain.channel import Channel
from clarion.domain.content import Account
from clarion.domain.errors import Malformed, Unauthorized
from clarion.domain.limits import FRAME_RECORDS_MAX
from clarion.domain.limits_feedback import (
    RECEIPT_WARNING_MS,
    RECEIPT_WARNINGS_MAX,
    RECEIPTS_REMEMBERED_MAX,
)
from clarion.feedback.deciding import Changed, Result, decide
from clarion.feedback.gather import Gatherer
from clarion.feedback.worker_keys import Keys
from clarion.ports.clock import Clock
from clarion.ports.control_accounts import Suppressions
from clarion.ports.directory import Directory
from clarion.ports.egress import HttpEgress
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
from clarion.ports.stage_store import Admission, StageResult, StageStore, StaleKey
from clarion.ports.telemetry import Telemetry
from clarion.ports.told import ToldHistory
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
        store: StageStore,
        http: HttpEgress,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._directory = directory
        self._vendors = vendors
        self._suppressions = suppressions
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._gatherer = Gatherer(state, store, clock)
        self._keys = Keys(http, clock)
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._warned: dict[tuple[str, str, str], int] = {}

    async def take(self, tenant: str, provider: str, call: ReceiptCall) -> str:
        """Return the text to answer with, once all that was told is durable. Raises `Unauthorized`, the same for a tenant or
        provider there is not as for a bad signature, `Malformed`, and `Overloaded` when the provider should come again."""
        account = await self._directory.account(tenant, provider)
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
                    await self._step(account, told[start : start + _STEP_MAX], digest)
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

    async def _step(self, account: Account, told: Sequence[Receipt | Inbound], digest: bytes) -> None:
        fresh = [one for one in told if self._name(account, one) not in self._seen]
        facts = await self._gatherer.gather(account, fresh)
        result = decide(account, fresh, facts, digest, self._clock.now_ms())
        await self._commit(account, result)
        self._count(account, result)
        self._remember(account, fresh)

    async def _commit(self, account: Account, result: Result) -> None:
        """Store frames first, then what they change. A word is remembered when it has been heeded: what was cut off in
        between is told again."""
        stored = result.stored
        if stored.frames or stored.admission.idempotency:
            try:
                await self._store.commit(stored)
            except StaleKey:
                self._warn(account, "receipt_refused", "its token was used for another body")
                raise Unauthorized(_REFUSAL) from None
        for changed in (result.changed, *result.by_words):
            await self._change(account, changed)
        if result.said:
            await self._store.commit(StageResult(admission=Admission(result.said)))

    async def _change(self, account: Account, changed: Changed) -> None:
        for reason in changed.unreadable:
            self._warn(account, "receipt_address_unreadable", reason)
        for one in changed.lifted:
            await self._suppressions.lift(account.tenant, account.channel, one.address, one.reason, one.said_ms)
        if changed.learned:
            await self._suppressions.learn(account.tenant, changed.learned)

    def _count(self, account: Account, result: Result) -> None:
        for word in result.words:
            self._telemetry.count("inbound", 1, vendor=account.vendor, word=word)
        for (kind, known), number in Counter(result.receipts).items():
            matched = "yes" if known else "no"
            self._telemetry.count("receipts", number, vendor=account.vendor, kind=kind, matched=matched)

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
