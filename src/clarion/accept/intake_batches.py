"""Taking many notifications at once, each accepted or refused on its own."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from clarion.accept.acceptances import Acceptance, kept, recalled
from clarion.accept.admit import Admission, field_of_user, unknown_user
from clarion.accept.definitions import wants_of
from clarion.accept.gather import gather_unknown_users
from clarion.accept.idempotency import Once, entry, given
from clarion.accept.intake_door import Door
from clarion.accept.shapes import BatchOut, BatchResult, NotificationOut, ProblemOut
from clarion.accept.submissions import Batch, Item, Key
from clarion.accept.worker import Taken, told_of
from clarion.domain.errors import CallerError, QuotaExceeded
from clarion.journal.events import Request
from clarion.ports.stage_store import IdempotencyEntry, StaleKey
from clarion.ports.web import Caller


class _Prepared(NamedTuple):
    """An item of a batch that passed its own checks, with the idempotency key it holds."""

    place: int
    request: Request
    key: Key | None


class _Ready(NamedTuple):
    """An item of a batch as it is to be stored."""

    prepared: _Prepared
    taken: Taken
    entries: list[IdempotencyEntry]


class Batches:
    """Takes batches. The keys of items are held while their batch runs, as a request's own key is."""

    def __init__(self, door: Door, once: Once) -> None:
        self._door = door
        self._once = once

    async def take(
        self, caller: Caller, batch: Batch, remember: Callable[[msgspec.Struct], list[IdempotencyEntry]]
    ) -> Acceptance[BatchOut]:
        """Store what can be taken and tell of each item. Raises `StaleKey` for the key of the whole batch."""
        door, tenant = self._door, caller.tenant
        held: list[str] = []
        try:
            results, ready = await self._check(caller, batch.items, held)
            while True:
                told = BatchOut(results)
                whole = remember(told)
                entries = [entry for item in ready for entry in item.entries]
                try:
                    await door.writer.take([item.taken for item in ready], [*entries, *whole])
                except StaleKey as refused:
                    if any((entry.tenant, entry.key) in refused.keys for entry in whole):
                        raise
                    ready = await self._leave_out(tenant, refused.keys, results, ready)
                else:
                    return Acceptance(told, quota=await door.quotas.standing(caller))
        finally:
            for key in held:
                self._once.end(tenant, key)

    async def _leave_out(
        self, tenant: str, stale: frozenset[tuple[str, str]], results: list[BatchResult], ready: list[_Ready]
    ) -> list[_Ready]:
        """Answer items that another process took meanwhile as it did, and return the others."""
        remembered = await self._door.remembered(tenant, {key for _, key in stale})
        left: list[_Ready] = []
        for item in ready:
            place, _, key = item.prepared
            if key is None or (tenant, key.text) not in stale:
                left.append(item)
                continue
            try:
                results[place] = _replayed(given(key, remembered.get(key.text)))
            except CallerError as error:
                results[place] = _refusal(error)
        return left

    async def _check(
        self, caller: Caller, items: Sequence[Item], held: list[str]
    ) -> tuple[list[BatchResult], list[_Ready]]:
        """Check every item; return a result for each and what is to be taken. Keys this request now holds go to `held`
        at once, so that they are released whatever happens next."""
        tenant = caller.tenant
        results: list[BatchResult | None] = [None] * len(items)
        wants = wants_of([item.body for item in items if item.body is not None])
        admitted = _admitted(items, await self._door.admission(tenant, wants), results)
        prepared = await self._begun(tenant, admitted, held, results)
        unknown = await gather_unknown_users(self._door.directory, tenant, [item.request for item in prepared])
        known = _of_known_users(prepared, unknown, results)
        ready: list[_Ready] = []
        for item, refusal in zip(known, await self._charge(caller, known), strict=True):
            if refusal is not None:
                results[item.place] = _refusal(refusal)
                continue
            one = self._door.stamp(tenant, item.request)
            told = told_of(one)
            results[item.place] = BatchResult(told.status, told.id, told.accepted_at)
            entries = [] if item.key is None else [entry(tenant, item.key, kept(told), one.accepted_ms)]
            ready.append(_Ready(item, one, entries))
        return [result for result in results if result is not None], ready

    async def _begun(
        self, tenant: str, items: list[_Prepared], held: list[str], results: list[BatchResult | None]
    ) -> list[_Prepared]:
        """Return the items that run now; the results of the others say what was told before, or why they cannot run."""
        keys = {item.key.text for item in items if item.key is not None}
        if not keys:
            return items
        remembered = await self._door.remembered(tenant, keys)
        begun: list[_Prepared] = []
        for item in items:
            if item.key is not None:
                try:
                    answer = self._once.begin(tenant, item.key, remembered.get(item.key.text))
                    if answer is not None:
                        results[item.place] = _replayed(answer)
                        continue
                except CallerError as error:
                    results[item.place] = _refusal(error)
                    continue
                held.append(item.key.text)
            begun.append(item)
        return begun

    async def _charge(self, caller: Caller, items: list[_Prepared]) -> list[CallerError | None]:
        """Return why items exceed a quota. Raises `QuotaExceeded` when that leaves nothing to take: the whole batch can be
        sent again as it is then."""
        refusals = await self._door.quotas.charge_each(caller, [len(item.request.to) for item in items])
        exceeded = [refusal for refusal in refusals if isinstance(refusal, QuotaExceeded)]
        if exceeded and None not in refusals:
            raise min(exceeded, key=lambda refusal: refusal.retry_after_s)
        return refusals


def _admitted(items: Sequence[Item], admission: Admission, results: list[BatchResult | None]) -> list[_Prepared]:
    """Return the items that pass their own checks; the results of the others say why they do not."""
    admitted: list[_Prepared] = []
    for place, (body, refusal, digest) in enumerate(items):
        if body is None:
            results[place] = _refusal(refusal) if refusal is not None else None
            continue
        try:
            request = admission.notification(body)
        except CallerError as error:
            results[place] = _refusal(error)
            continue
        text = body.idempotency_key
        admitted.append(_Prepared(place, request, None if text is None else Key(text, digest)))
    return admitted


def _of_known_users(items: list[_Prepared], unknown: set[str], results: list[BatchResult | None]) -> list[_Prepared]:
    """Return the items whose users are all known; the results of the others say who is not."""
    if not unknown:
        return items
    for item in items:
        if field_of_user(item.request, unknown) is not None:
            results[item.place] = _refusal(unknown_user(item.request, unknown))
    return [item for item in items if results[item.place] is None]


def _refusal(error: CallerError) -> BatchResult:
    retry_after_s = error.retry_after_s if isinstance(error, QuotaExceeded) else None
    return BatchResult("refused", error=ProblemOut(error.code, error.detail, error.field, retry_after_s))


def _replayed(answer: bytes) -> BatchResult:
    told = recalled(answer, NotificationOut)
    return BatchResult(told.status, told.id, told.accepted_at, replayed=True)
