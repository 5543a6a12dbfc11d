"""Intake of batches: many notifications at once, each accepted or refused on its own."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from clarion.accept.acceptances import Acceptance, decode_response, encode_response
from clarion.accept.admit import RequestChecks, field_of_user, unknown_user, users_of
from clarion.accept.definitions import names_in_bodies
from clarion.accept.idempotency import RunningKeys, concurrent_answer, entry
from clarion.accept.intake_context import AcceptFacts, IntakeContext, IntakeStep, Lookups, Remember
from clarion.accept.shapes import BatchOut, BatchResult, NotificationOut, ProblemOut
from clarion.accept.submissions import Batch, Item, Key
from clarion.accept.worker import Admitted, response_of
from clarion.domain.errors import CallerError, Malformed, QuotaExceeded
from clarion.journal.events import Request
from clarion.ports.stage_store import IdempotencyEntry, StaleKey
from clarion.ports.web import Caller
from clarion.runtime.slices import each


class _CheckedItem(NamedTuple):
    """An item of a batch that passed its own checks, with the idempotency key it holds."""

    place: int
    request: Request
    key: Key | None


class _RefusedItem(NamedTuple):
    """An item of a batch that did not pass its own checks."""

    place: int
    error: CallerError


class _AdmittedItem(NamedTuple):
    """An item of a batch, ready to be stored."""

    prepared: _CheckedItem
    admitted: Admitted
    entries: list[IdempotencyEntry]


class BatchIntake:
    """Accepts batches. The keys of items are held while their batch runs, as the key of a single request is."""

    def __init__(self, context: IntakeContext, once: RunningKeys) -> None:
        self._context = context
        self._once = once

    def begin(self, batch: Batch) -> IntakeStep:
        """Return the lookups of a batch, and the function that stores its acceptable items and returns a result for
        each item. That function raises `StaleKey` for the key of the whole batch."""
        bodies = [item.parsed for item in batch.items if item.parsed is not None]
        keys = {one.body.idempotency_key for one in bodies if one.body.idempotency_key is not None}

        async def accept(caller: Caller, facts: AcceptFacts, remember: Remember) -> Acceptance[BatchOut]:
            return await self._accept(caller, batch.items, batch.large, facts, remember)

        return IntakeStep(Lookups(names_in_bodies([one.body for one in bodies]), users_of(bodies), keys), accept)

    async def _accept(
        self, caller: Caller, items: Sequence[Item], large: bool, facts: AcceptFacts, remember: Remember
    ) -> Acceptance[BatchOut]:
        context, tenant = self._context, caller.tenant
        held: list[str] = []
        try:
            results, ready = await self._check(caller, items, large, facts, held)
            while True:
                response = BatchOut(results)
                whole = remember(response)
                entries = [entry for item in ready for entry in item.entries]
                try:
                    await context.writer.append([item.admitted for item in ready], [*entries, *whole], large=large)
                except StaleKey as refused:
                    if any((entry.tenant, entry.key) in refused.keys for entry in whole):
                        raise
                    ready = await self._drop_answered(tenant, refused.keys, results, ready)
                else:
                    return Acceptance(response, quota=context.quotas.status(caller, facts.quotas))
        finally:
            for key in held:
                self._once.end(tenant, key)

    async def _drop_answered(
        self, tenant: str, stale: frozenset[tuple[str, str]], results: list[BatchResult], ready: list[_AdmittedItem]
    ) -> list[_AdmittedItem]:
        """Give items that another process has accepted meanwhile its response, and return the remaining items."""
        remembered = await self._context.remembered(tenant, {key for _, key in stale})
        left: list[_AdmittedItem] = []
        for item in ready:
            place, _, key = item.prepared
            if key is None or (tenant, key.text) not in stale:
                left.append(item)
                continue
            try:
                results[place] = _replayed_result(concurrent_answer(key, remembered.get(key.text)))
            except CallerError as error:
                results[place] = _refusal(error)
        return left

    async def _check(
        self, caller: Caller, items: Sequence[Item], large: bool, facts: AcceptFacts, held: list[str]
    ) -> tuple[list[BatchResult], list[_AdmittedItem]]:
        """Check every item; return a result for each and the items to store. Keys that this request now holds are added
        to `held` at once, so that they are released even when a later step fails."""
        tenant = caller.tenant
        results: list[BatchResult | None] = [None] * len(items)
        check = partial(_checked, self._context.admission(facts.tenant))
        admitted: list[_CheckedItem] = []
        for checked in await each(check, enumerate(items), in_thread=large):
            if isinstance(checked, _CheckedItem):
                admitted.append(checked)
            else:
                results[checked.place] = _refusal(checked.error)
        await self._context.refresh_answers(tenant, facts)
        prepared = self._begin_keys(tenant, admitted, facts, held, results)
        known = _with_known_users(prepared, facts.unknown, results)
        ready: list[_AdmittedItem] = []
        for item, refusal in zip(known, await self._charge(caller, facts, known), strict=True):
            if refusal is not None:
                results[item.place] = _refusal(refusal)
                continue
            one = self._context.assign_id(tenant, item.request)
            response = response_of(one)
            results[item.place] = BatchResult(response.status, response.id, response.accepted_at)
            entries = [] if item.key is None else [entry(tenant, item.key, encode_response(response), one.accepted_ms)]
            ready.append(_AdmittedItem(item, one, entries))
        return [result for result in results if result is not None], ready

    def _begin_keys(
        self,
        tenant: str,
        items: list[_CheckedItem],
        facts: AcceptFacts,
        held: list[str],
        results: list[BatchResult | None],
    ) -> list[_CheckedItem]:
        """Return the items that run now; the other items get their stored response or their refusal as the result."""
        begun: list[_CheckedItem] = []
        for item in items:
            if item.key is not None:
                try:
                    answer = self._once.begin(tenant, item.key, facts.answers.get(item.key.text))
                    if answer is not None:
                        results[item.place] = _replayed_result(answer)
                        continue
                except CallerError as error:
                    results[item.place] = _refusal(error)
                    continue
                held.append(item.key.text)
            begun.append(item)
        return begun

    async def _charge(self, caller: Caller, facts: AcceptFacts, items: list[_CheckedItem]) -> list[CallerError | None]:
        """Return each item's refusal by a quota, or None. Raises `QuotaExceeded` when no item is left to accept: the
        client can then send the whole batch again unchanged."""
        refusals = await self._context.quotas.charge_each(
            caller, facts.quotas, [len(item.request.to) for item in items]
        )
        exceeded = [refusal for refusal in refusals if isinstance(refusal, QuotaExceeded)]
        if exceeded and None not in refusals:
            raise min(exceeded, key=lambda refusal: refusal.retry_after_s)
        return refusals


def _checked(admission: RequestChecks, numbered: tuple[int, Item]) -> _CheckedItem | _RefusedItem:
    """Return an item that passes its own checks, or its refusal."""
    place, (parsed, refusal, digest) = numbered
    if parsed is None:
        return _RefusedItem(place, refusal or Malformed("item is not valid"))
    try:
        request = admission.notification(parsed)
    except CallerError as error:
        return _RefusedItem(place, error)
    text = parsed.body.idempotency_key
    return _CheckedItem(place, request, None if text is None else Key(text, digest))


def _with_known_users(
    items: list[_CheckedItem], unknown: set[str], results: list[BatchResult | None]
) -> list[_CheckedItem]:
    """Return the items whose users all exist; the other items get a refusal that names the unknown user."""
    if not unknown:
        return items
    for item in items:
        if field_of_user(item.request, unknown) is not None:
            results[item.place] = _refusal(unknown_user(item.request, unknown))
    return [item for item in items if results[item.place] is None]


def _refusal(error: CallerError) -> BatchResult:
    retry_after_s = error.retry_after_s if isinstance(error, QuotaExceeded) else None
    return BatchResult("refused", error=ProblemOut(error.code, error.detail, error.field, retry_after_s))


def _replayed_result(answer: bytes) -> BatchResult:
    response = decode_response(answer, NotificationOut)
    return BatchResult(response.status, response.id, response.accepted_at, replayed=True)
