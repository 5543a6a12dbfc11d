"""Intake of events: rules turn them into notifications, and instances that wait for them continue."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from clarion.accept.acceptances import Acceptance
from clarion.accept.definitions import names_in_rules
from clarion.accept.gather import gather_unknown_users
from clarion.accept.gather_tenants import TenantSnapshot
from clarion.accept.intake_context import AcceptFacts, IntakeContext, IntakeStep, Lookups, Remember
from clarion.accept.intake_threads import run_off_loop
from clarion.accept.rule_evaluation import RuleEvaluation, RuleOutcome, rules_for
from clarion.accept.rules import check
from clarion.accept.rules.events import Event, Skipped, Value
from clarion.accept.shapes_events import EventIn, EventNotification, EventOut, EventSkip
from clarion.accept.worker import Admitted
from clarion.domain import ids
from clarion.domain.address import identifier
from clarion.domain.address import key as checked_key
from clarion.domain.errors import InvalidField
from clarion.domain.event_rule import EXPRESSION_NAMES, expression_count
from clarion.domain.limits import DATA_BYTES_MAX, EVENT_WORK_MS_MAX, KEY_CHARS_MAX
from clarion.domain.limits_processes import LOOP_BATCH_BYTES_MAX, LOOP_RULE_BYTES_MAX
from clarion.journal.signals import event_key, signal
from clarion.ports.clock import Clock
from clarion.ports.expressions import ExpressionError, Expressions
from clarion.ports.journal_cells import Signal
from clarion.ports.web import Caller

_JSON: Final = msgspec.json.Encoder()


class EventIntake:
    """Accepts events."""

    def __init__(self, context: IntakeContext, expressions: Expressions) -> None:
        self._context = context
        self._expressions = expressions

    def begin(self, body: EventIn) -> IntakeStep:
        """Return the lookups of an event, and the function that accepts it with the notifications that rules create for
        it."""

        async def accept(caller: Caller, facts: AcceptFacts, remember: Remember) -> Acceptance[EventOut]:
            return await self._accept(caller, body, facts, remember)

        return IntakeStep(Lookups(rules=True), accept)

    async def _accept(
        self, caller: Caller, body: EventIn, facts: AcceptFacts, remember: Remember
    ) -> Acceptance[EventOut]:
        context, tenant = self._context, caller.tenant
        context.refuse_overload()
        now_ms = context.clock.now_ms()
        id_ = ids.write(ids.EVENT_PREFIX, ids.notification_id(now_ms, 0, context.clock.entropy(ids.ENTROPY_BYTES)))
        event = _event(body, now_ms)
        outcomes = await self._evaluate_rules(tenant, facts.tenant, event, id_)
        recipients = sum(len(made.request.to) for outcome in outcomes for made in outcome.made)
        await context.quotas.charge(caller, facts.quotas, max(recipients, 1))
        admitted: list[Admitted] = []
        notifications: list[EventNotification] = []
        for outcome in outcomes:
            for entry, request in outcome.made:
                one = context.assign_id(tenant, request)
                admitted.append(one)
                notifications.append(_notification(outcome.rule.key, entry, one))
        response = EventOut(id_, notifications, [skip for one in outcomes for skip in skips_of(one)])
        large = sum(len(_JSON.encode(one.request.data)) for one in admitted) > LOOP_BATCH_BYTES_MAX
        await context.writer.append(admitted, remember(response), _signals(tenant, event, now_ms), large=large)
        return Acceptance(response, quota=context.quotas.status(caller, facts.quotas))

    async def dry_run(self, caller: Caller, body: EventIn) -> list[RuleOutcome]:
        """Return the outcome that each rule would have for an event, disabled rules included."""
        event = _event(body, self._context.clock.now_ms())
        facts = await self._context.gather(caller.tenant, Lookups(rules=True, backlog=False))
        return await self._evaluate_rules(caller.tenant, facts.tenant, event, "", disabled=True)

    async def _evaluate_rules(
        self, tenant: str, known: TenantSnapshot, event: Event, event_id: str, *, disabled: bool = False
    ) -> list[RuleOutcome]:
        context = self._context
        rules = rules_for(known.rules or (), event.type, disabled=disabled)
        admission = await context.admission_of(tenant, known, names_in_rules([rule.body for rule in rules]))
        evaluator = _YieldingEvaluator(self._expressions, context.clock)
        evaluation = RuleEvaluation(event, event_id, admission, evaluator.ask)
        size_bytes = len(_JSON.encode(event.data))
        for rule in rules:
            with evaluator:
                large = size_bytes * (1 + expression_count(rule.body)) > LOOP_RULE_BYTES_MAX
                await run_off_loop(large, evaluation.evaluate, rule)
            await asyncio.sleep(0)  # let other requests run between two rules
        user_ids = {to.user_id for request in evaluation.requests() for to in request.to if to.user_id}
        return evaluation.outcomes(await gather_unknown_users(context.directory, tenant, user_ids))


class _YieldingEvaluator:
    """Evaluates expressions as long as the rules for one event take no more than `EVENT_WORK_MS_MAX`; time in which
    other requests run does not count."""

    def __init__(self, expressions: Expressions, clock: Clock) -> None:
        self._expressions = expressions
        self._clock = clock
        self._began_ms = self._worked_ms = 0

    def __enter__(self) -> None:
        self._began_ms = self._clock.monotonic_ms()

    def __exit__(self, *_error: object) -> None:
        self._worked_ms += self._clock.monotonic_ms() - self._began_ms

    def ask(self, text: str, names: Mapping[str, Any]) -> Value:
        """Return the value of an expression, or why it has none. Raises `InvalidField` when the time is used up."""
        if self._worked_ms + self._clock.monotonic_ms() - self._began_ms > EVENT_WORK_MS_MAX:
            raise InvalidField("the rules for this event are too much work for data as large as this", field="data")
        try:
            return Value(self._expressions.compile(text, EXPRESSION_NAMES)(names))
        except ExpressionError as error:
            return Value(fault=str(error))


def _event(body: EventIn, now_ms: int) -> Event:
    """Return the event of a body. Raises `InvalidField` when it cannot be stored."""
    checked_key(body.type, "type")
    if body.user_id is not None:
        identifier(body.user_id, "user_id")
    check.values(body.data)
    if len(_JSON.encode(body.data)) > DATA_BYTES_MAX:
        raise InvalidField(f"is larger than {DATA_BYTES_MAX} bytes", field="data")
    occurred_at = body.occurred_at or datetime.fromtimestamp(now_ms / 1000, UTC)
    return Event(body.type, body.user_id, occurred_at.astimezone(UTC), body.data)


def _signals(tenant: str, event: Event, now_ms: int) -> list[Signal]:
    """Return the signals for instances that wait for such an event about this user."""
    user_id = event.user_id or event.data.get("user_id")
    if not isinstance(user_id, str) or not 1 <= len(user_id) <= KEY_CHARS_MAX:
        return []
    return [signal(tenant, event_key(event.type, user_id), now_ms, event.data)]


def _notification(rule: str, entry: int, admitted: Admitted) -> EventNotification:
    id_ = ids.write(ids.NOTIFICATION_PREFIX, admitted.notification_id)
    return EventNotification(rule, entry, id_, [to.user_id for to in admitted.request.to])


def skips_of(outcome: RuleOutcome) -> list[EventSkip]:
    """Return the notifications that a rule did not create, each with the reason."""
    return [_skip(outcome.rule.key, skipped) for skipped in outcome.skipped]


def _skip(rule: str, skipped: Skipped) -> EventSkip:
    return EventSkip(rule, skipped.reason, skipped.entry, skipped.user_id, skipped.detail)
