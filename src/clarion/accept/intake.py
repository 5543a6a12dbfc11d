"""The one entry point for all kinds of requests: a typed request in, a typed acceptance out."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, overload

import msgspec

from clarion.accept.acceptances import Acceptance, decode_response, encode_response
from clarion.accept.admit import parse_body, users_of
from clarion.accept.definitions import names_in_bodies
from clarion.accept.idempotency import RunningKeys, concurrent_answer, entry
from clarion.accept.intake_batches import BatchIntake
from clarion.accept.intake_broadcasts import BroadcastIntake
from clarion.accept.intake_context import Accept, AcceptFacts, IntakeContext, IntakeStep, Lookups, Remember
from clarion.accept.intake_events import EventIntake
from clarion.accept.intake_threads import run_off_loop
from clarion.accept.rule_evaluation import RuleOutcome
from clarion.accept.shapes import BatchOut, BroadcastIn, BroadcastOut, NotificationIn, NotificationOut
from clarion.accept.shapes_events import EventIn, EventOut
from clarion.accept.submissions import Batch, Key, NotificationTest
from clarion.accept.worker import response_of
from clarion.domain.limits_processes import LOOP_RECIPIENTS_MAX
from clarion.journal.events import Request
from clarion.ports.expressions import Expressions
from clarion.ports.stage_store import IdempotencyEntry, StaleKey
from clarion.ports.web import Caller


class _RequestKind(NamedTuple):
    """The response type of a kind of request, and the function that prepares its intake."""

    response: type[Any]
    prepare: Callable[[Any], IntakeStep]


_Body: TypeAlias = NotificationIn | NotificationTest | Batch | BroadcastIn | EventIn


class Intake:
    """Accepts requests. It raises `CallerError` or an error of the store; in both cases nothing was stored."""

    def __init__(self, context: IntakeContext, expressions: Expressions) -> None:
        self._context = context
        self._once = RunningKeys()
        self._events = EventIntake(context, expressions)
        self._ways = {
            NotificationIn: _RequestKind(NotificationOut, self._notification),
            NotificationTest: _RequestKind(NotificationOut, self._test),
            Batch: _RequestKind(BatchOut, BatchIntake(context, self._once).begin),
            BroadcastIn: _RequestKind(BroadcastOut, BroadcastIntake(context).begin),
            EventIn: _RequestKind(EventOut, self._events.begin),
        }

    @overload
    async def submit(
        self,
        caller: Caller,
        request: NotificationIn | NotificationTest,
        key: Key | None,
        *,
        may_wait_ms: float = math.inf,
    ) -> Acceptance[NotificationOut]: ...
    @overload
    async def submit(
        self, caller: Caller, request: Batch, key: Key | None, *, may_wait_ms: float = math.inf
    ) -> Acceptance[BatchOut]: ...
    @overload
    async def submit(
        self, caller: Caller, request: BroadcastIn, key: Key | None, *, may_wait_ms: float = math.inf
    ) -> Acceptance[BroadcastOut]: ...
    @overload
    async def submit(
        self, caller: Caller, request: EventIn, key: Key | None, *, may_wait_ms: float = math.inf
    ) -> Acceptance[EventOut]: ...
    async def submit(
        self, caller: Caller, request: _Body, key: Key | None, *, may_wait_ms: float = math.inf
    ) -> Acceptance[Any]:
        """Return the acceptance of a request once it is durable. With a key the request is carried out once, by the
        first process that gets it; a repeated request gets the same response. `may_wait_ms` is how
        long it may wait for others that are committed with it."""
        if isinstance(request, Batch):
            return await self._submit(caller, request, key)
        async with self._context.writer.next_commit(may_wait_ms):
            return await self._submit(caller, request, key)

    async def _submit(self, caller: Caller, request: _Body, key: Key | None) -> Acceptance[Any]:
        response, begin = self._ways[type(request)]
        asks, accept = await run_off_loop(_is_large(request), begin, request)
        tenant, context = caller.tenant, self._context
        if asks.backlog and (key is None or isinstance(request, Batch)):
            context.refuse_overload_early()
        if key is not None:
            asks = asks._replace(keys={key.text, *asks.keys})
        with self._once.lookup(tenant, asks.keys) as look:
            facts = await context.gather(tenant, asks, look)
            if isinstance(request, Batch):
                context.refuse_overload()
            if key is None:
                return await accept(caller, facts, _remember_nothing)
            return await self._submit_with_key(caller, key, facts, response, accept)

    async def _submit_with_key(
        self, caller: Caller, key: Key, facts: AcceptFacts, response: type[Any], accept: Accept
    ) -> Acceptance[Any]:
        """Accept a request with a key, or return the stored response if there is one."""
        tenant, context = caller.tenant, self._context
        await context.refresh_answers(tenant, facts)
        before = self._once.begin(tenant, key, facts.answers.get(key.text))
        if before is not None:
            return Acceptance(decode_response(before, response), replayed=True)
        try:
            return await accept(
                caller, facts, lambda response: [entry(tenant, key, encode_response(response), context.clock.now_ms())]
            )
        except StaleKey:
            remembered = (await context.remembered(tenant, [key.text])).get(key.text)
            return Acceptance(decode_response(concurrent_answer(key, remembered), response), replayed=True)
        finally:
            self._once.end(tenant, key.text)

    def refuse_exhausted(self, caller: Caller) -> None:
        """Raise `QuotaExceeded` when the quota of a caller has no room at all, as far as this process knows. A request
        with idempotency keys may still get stored responses."""
        self._context.refuse_exhausted(caller)

    async def check(self, tenant: str, body: NotificationIn) -> Request:
        """Return the request that a notification would become, without storing it. Raises `InvalidField`."""
        to = parse_body(body)
        asks = Lookups(names_in_bodies([body]), users_of([to]), backlog=False)
        return self._context.check_recipients(to, await self._context.gather(tenant, asks))

    async def dry_run(self, caller: Caller, event: EventIn) -> list[RuleOutcome]:
        """Return the outcome that each event rule would have for an event, disabled rules included."""
        return await self._events.dry_run(caller, event)

    def _notification(self, body: NotificationIn) -> IntakeStep:
        to = parse_body(body)

        async def accept(caller: Caller, facts: AcceptFacts, remember: Remember) -> Acceptance[NotificationOut]:
            self._context.refuse_overload()
            return await self._accept(caller, self._context.check_recipients(to, facts), facts, remember)

        return IntakeStep(Lookups(names_in_bodies([body]), users_of([to])), accept)

    def _test(self, marked: NotificationTest) -> IntakeStep:
        to = parse_body(marked.body)

        async def accept(caller: Caller, facts: AcceptFacts, remember: Remember) -> Acceptance[NotificationOut]:
            self._context.refuse_overload()
            request = self._context.check_recipients(to, facts)
            described = [msgspec.structs.replace(one, attributes=marked.attributes) for one in request.to]
            return await self._accept(caller, msgspec.structs.replace(request, to=described), facts, remember)

        return IntakeStep(Lookups(names_in_bodies([marked.body]), users_of([to])), accept)

    async def _accept(
        self, caller: Caller, request: Request, facts: AcceptFacts, remember: Remember
    ) -> Acceptance[NotificationOut]:
        context = self._context
        quota = await context.quotas.charge(caller, facts.quotas, len(request.to))
        admitted = context.assign_id(caller.tenant, request)
        response = response_of(admitted)
        await context.writer.append([admitted], remember(response))
        return Acceptance(response, quota=quota)


def _is_large(request: _Body) -> bool:
    """Return whether the recipients of a request are checked in a thread."""
    if isinstance(request, Batch):
        return request.large
    return (
        isinstance(request, NotificationIn) and isinstance(request.to, list) and len(request.to) > LOOP_RECIPIENTS_MAX
    )


def _remember_nothing(_response: msgspec.Struct) -> list[IdempotencyEntry]:
    return []
