"""Taking many notifications at once, each accepted or refused on its own."""

from typing import Final, NamedTuple

import msgspec

from clarion.accept.admit import Admission, field_of_user, unknown_user
from clarion.accept.door import Door
from clarion.accept.idempotency import HEADER, body_hash, entry, key_of
from clarion.accept.routes_once import Remember, answer_once
from clarion.accept.shapes import BatchOut, BatchResult, NotificationIn, ProblemOut
from clarion.accept.worker import Taken
from clarion.domain import ids
from clarion.domain.errors import CallerError, Malformed, QuotaExceeded, TooLarge
from clarion.domain.limits import BODY_BYTES_MAX
from clarion.journal.events import Request
from clarion.ports.journal import IdempotencyEntry, StaleKey
from clarion.ports.web import Call, Caller, Reply, invalid_field

_ITEM: Final = msgspec.json.Decoder(NotificationIn)
_JSON: Final = msgspec.json.Encoder()
_REPLAY: Final = msgspec.json.Decoder(BatchResult)


class _Prepared(NamedTuple):
    """An item of a batch that passed its own checks, with the idempotency key it holds."""

    place: int
    request: Request
    key: str | None
    digest: bytes


class _Ready(NamedTuple):
    """An item of a batch as it is to be stored."""

    prepared: _Prepared
    taken: Taken
    entries: list[IdempotencyEntry]


class Batches:
    """The endpoint of batches."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def create(self, call: Call) -> Reply:
        """Take a batch; a key of its own in the header covers it as a whole."""
        self._door.refuse_overload()
        key = key_of(call.headers.get(HEADER), None)
        return await answer_once(self._door, call, key, lambda remember: self._take(call, remember))

    async def _take(self, call: Call, remember: Remember) -> Reply:
        """Store what can be taken and return the answer. Raises `StaleKey` for the key of the whole batch."""
        door, tenant = self._door, call.caller.tenant
        held: list[str] = []
        try:
            results, ready = self._check(call.caller, call.body.notifications, held)
            while True:
                answer = _JSON.encode(BatchOut(results))
                whole = remember(answer)
                entries = [entry for item in ready for entry in item.entries]
                try:
                    await door.writer.take([item.taken for item in ready], [*entries, *whole])
                except StaleKey as refused:
                    if any((entry.tenant, entry.key) in refused.keys for entry in whole):
                        raise
                    ready = self._leave_out(tenant, refused.keys, results, ready)
                else:
                    return Reply(raw=answer, status=202, headers=door.quotas.standing(call.caller))
        finally:
            for key in held:
                door.once.end(tenant, key)

    def _leave_out(
        self, tenant: str, stale: frozenset[tuple[str, str]], results: list[BatchResult], ready: list[_Ready]
    ) -> list[_Ready]:
        """Answer items that another process took meanwhile as it did, and return the others."""
        left: list[_Ready] = []
        for item in ready:
            place, _, key, digest = item.prepared
            if key is None or (tenant, key) not in stale:
                left.append(item)
                continue
            try:
                answer = self._door.once.given(tenant, key, digest, self._door.clock.now_ms())
                results[place] = _replayed(answer)
            except CallerError as error:
                results[place] = _refusal(error)
        return left

    def _check(
        self, caller: Caller, raws: list[msgspec.Raw], held: list[str]
    ) -> tuple[list[BatchResult], list[_Ready]]:
        """Check every item; return a result for each and what is to be taken. Keys this request now holds go to `held`
        at once, so that they are released whatever happens next."""
        door, tenant = self._door, caller.tenant
        admission = door.admission(tenant)
        results: list[BatchResult | None] = [None] * len(raws)
        prepared: list[_Prepared] = []
        for index, raw in enumerate(raws):
            try:
                item = self._item(tenant, index, bytes(raw), admission, held)
            except CallerError as error:
                results[index] = _refusal(error)
            else:
                if isinstance(item, BatchResult):
                    results[index] = item
                else:
                    prepared.append(item)
        known = _of_known_users(prepared, admission, results)
        ready: list[_Ready] = []
        for item, refusal in zip(known, self._charge(caller, known), strict=True):
            if refusal is not None:
                results[item.place] = _refusal(refusal)
                continue
            one = door.stamp(tenant, item.request)
            result = results[item.place] = _result(one)
            entries = []
            if item.key is not None:
                entries.append(entry(tenant, item.key, item.digest, _JSON.encode(result), one.accepted_ms))
            ready.append(_Ready(item, one, entries))
        return [result for result in results if result is not None], ready

    def _charge(self, caller: Caller, items: list[_Prepared]) -> list[CallerError | None]:
        """Return why items exceed a quota. Raises `QuotaExceeded` when that leaves nothing to take: the whole batch can be
        sent again as it is then."""
        refusals = self._door.quotas.charge_each(caller, [len(item.request.to) for item in items])
        exceeded = [refusal for refusal in refusals if isinstance(refusal, QuotaExceeded)]
        if exceeded and None not in refusals:
            raise min(exceeded, key=lambda refusal: refusal.retry_after_s)
        return refusals

    def _item(
        self, tenant: str, index: int, raw: bytes, admission: Admission, held: list[str]
    ) -> _Prepared | BatchResult:
        body = _decode_item(raw)
        request = admission.notification(body)
        if body.idempotency_key is None:
            return _Prepared(index, request, None, b"")
        digest = body_hash(raw)
        answer = self._door.once.begin(tenant, body.idempotency_key, digest, self._door.clock.now_ms())
        if answer is not None:
            return _replayed(answer)
        held.append(body.idempotency_key)
        return _Prepared(index, request, body.idempotency_key, digest)


def _decode_item(raw: bytes) -> NotificationIn:
    if len(raw) > BODY_BYTES_MAX:
        raise TooLarge(f"item is larger than {BODY_BYTES_MAX} bytes")
    try:
        return _ITEM.decode(raw)
    except msgspec.ValidationError as error:
        raise invalid_field(error) from None
    except (msgspec.DecodeError, RecursionError):
        raise Malformed("item is not valid JSON, or nested too deeply") from None


def _of_known_users(items: list[_Prepared], admission: Admission, results: list[BatchResult | None]) -> list[_Prepared]:
    """Return the items whose users are all known; the results of the others say who is not."""
    unknown = admission.unknown_users([item.request for item in items])
    for item in items:
        if unknown and field_of_user(item.request, unknown) is not None:
            results[item.place] = _refusal(unknown_user(item.request, unknown))
    return [item for item in items if results[item.place] is None]


def _refusal(error: CallerError) -> BatchResult:
    retry_after_s = error.retry_after_s if isinstance(error, QuotaExceeded) else None
    return BatchResult("refused", error=ProblemOut(error.code, error.detail, error.field, retry_after_s))


def _replayed(answer: bytes) -> BatchResult:
    return msgspec.structs.replace(_REPLAY.decode(answer), replayed=True)


def _result(taken: Taken) -> BatchResult:
    return BatchResult(taken.status, ids.write(ids.NOTIFICATION_PREFIX, taken.notification_id), taken.accepted_at)
