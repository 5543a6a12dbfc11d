"""Taking many notifications at once, each accepted or refused on its own."""

from collections.abc import Sequence
from typing import NamedTuple

from clarion.accept.acceptances import Acceptance, kept, recalled
from clarion.accept.admit import Addressed, Admission, addressed, field_of_user, unknown_user, users_of
from clarion.accept.definitions import wants_of
from clarion.accept.idempotency import Once, entry, given
from clarion.accept.intake_apart import apart
from clarion.accept.intake_door import Asks, Door, Facts, Remember, Step
from clarion.accept.shapes import BatchOut, BatchResult, NotificationOut, ProblemOut
from clarion.accept.submissions import Batch, Item, Key
from clarion.accept.worker import Taken, told_of
from clarion.domain.errors import CallerError, QuotaExceeded
from clarion.journal.events import Request
from clarion.ports.stage_store import IdempotencyEntry, StaleKey
from clarion.ports.web import Caller


class _Read(NamedTuple):
    """An item of a batch with its recipients, if it could be read."""

    item: Item
    to: Addressed | None


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

    def begin(self, batch: Batch) -> Step:
        """Return what a batch asks for, and what stores what can be taken of it and tells of each item. That raises `StaleKey`
        for the key of the whole batch."""
        read = [_Read(item, None if item.body is None else addressed(item.body)) for item in batch.items]
        bodies = [one.to for one in read if one.to is not None]
        keys = {one.body.idempotency_key for one in bodies if one.body.idempotency_key is not None}

        async def take(caller: Caller, facts: Facts, remember: Remember) -> Acceptance[BatchOut]:
            return await self._take(caller, read, batch.large, facts, remember)

        return Step(Asks(wants_of([one.body for one in bodies]), users_of(bodies), keys), take)

    async def _take(
        self, caller: Caller, items: Sequence[_Read], large: bool, facts: Facts, remember: Remember
    ) -> Acceptance[BatchOut]:
        door, tenant = self._door, caller.tenant
        held: list[str] = []
        try:
            results, ready = await self._check(caller, items, large, facts, held)
            while True:
                told = BatchOut(results)
                whole = remember(told)
                entries = [entry for item in ready for entry in item.entries]
                try:
                    await door.writer.take([item.taken for item in ready], [*entries, *whole], large=large)
                except StaleKey as refused:
                    if any((entry.tenant, entry.key) in refused.keys for entry in whole):
                        raise
                    ready = await self._leave_out(tenant, refused.keys, results, ready)
                else:
                    return Acceptance(told, quota=door.quotas.standing(caller, facts.quotas))
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
        self, caller: Caller, items: Sequence[_Read], large: bool, facts: Facts, held: list[str]
    ) -> tuple[list[BatchResult], list[_Ready]]:
        """Check every item; return a result for each and what is to be taken. Keys this request now holds go to `held`
        at once, so that they are released whatever happens next."""
        tenant = caller.tenant
        results: list[BatchResult | None] = [None] * len(items)
        admitted = await apart(large, _admitted, items, self._door.admission(facts.known), results)
        await self._door.catch_up(tenant, facts)
        prepared = self._begun(tenant, admitted, facts, held, results)
        known = _of_known_users(prepared, facts.unknown, results)
        ready: list[_Ready] = []
        for item, refusal in zip(known, await self._charge(caller, facts, known), strict=True):
            if refusal is not None:
                results[item.place] = _refusal(refusal)
                continue
            one = self._door.stamp(tenant, item.request)
            told = told_of(one)
            results[item.place] = BatchResult(told.status, told.id, told.accepted_at)
            entries = [] if item.key is None else [entry(tenant, item.key, kept(told), one.accepted_ms)]
            ready.append(_Ready(item, one, entries))
        return [result for result in results if result is not None], ready

    def _begun(
        self, tenant: str, items: list[_Prepared], facts: Facts, held: list[str], results: list[BatchResult | None]
    ) -> list[_Prepared]:
        """Return the items that run now; the results of the others say what was told before, or why they cannot run."""
        begun: list[_Prepared] = []
        for item in items:
            if item.key is not None:
                try:
                    answer = self._once.begin(tenant, item.key, facts.answers.get(item.key.text))
                    if answer is not None:
                        results[item.place] = _replayed(answer)
                        continue
                except CallerError as error:
                    results[item.place] = _refusal(error)
                    continue
                held.append(item.key.text)
            begun.append(item)
        return begun

    async def _charge(self, caller: Caller, facts: Facts, items: list[_Prepared]) -> list[CallerError | None]:
        """Return why items exceed a quota. Raises `QuotaExceeded` when that leaves nothing to take: the whole batch can be
        sent again as it is then."""
        refusals = await self._door.quotas.charge_each(caller, facts.quotas, [len(item.request.to) for item in items])
        exceeded = [refusal for refusal in refusals if isinstance(refusal, QuotaExceeded)]
        if exceeded and None not in refusals:
            raise min(exceeded, key=lambda refusal: refusal.retry_after_s)
        return refusals


def _admitted(items: Sequence[_Read], admission: Admission, results: list[BatchResult | None]) -> list[_Prepared]:
    """Return the items that pass their own checks; the results of the others say why they do not."""
    admitted: list[_Prepared] = []
    for place, ((_, refusal, digest), to) in enumerate(items):
        if to is None:
            results[place] = _refusal(refusal) if refusal is not None else None
            continue
        try:
            request = admission.notification(to)
        except CallerError as error:
            results[place] = _refusal(error)
            continue
        text = to.body.idempotency_key
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
