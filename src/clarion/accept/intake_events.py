"""Taking events: rules make notifications of them, and instances that wait for them go on."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from clarion.accept.acceptances import Acceptance
from clarion.accept.definitions import wants_of_rules
from clarion.accept.gather import gather_unknown_users
from clarion.accept.gather_known import Known
from clarion.accept.intake_door import Asks, Door, Facts, Remember, Step
from clarion.accept.reactions import Outcome, Reaction, concerning
from clarion.accept.rules import check
from clarion.accept.rules.events import Event, Skipped, Value
from clarion.accept.shapes_events import EventIn, EventNotification, EventOut, EventSkip
from clarion.accept.worker import Taken
from clarion.domain import ids
from clarion.domain.address import identifier
from clarion.domain.address import key as checked_key
from clarion.domain.errors import InvalidField
from clarion.domain.event_rule import EXPRESSION_NAMES
from clarion.domain.limits import DATA_BYTES_MAX, KEY_CHARS_MAX
from clarion.domain.limits_deciding import EVENT_WORK_MS_MAX
from clarion.journal.signals import event_key, signal
from clarion.ports.clock import Clock
from clarion.ports.expressions import ExpressionError, Expressions
from clarion.ports.journal_cells import Signal
from clarion.ports.web import Caller

_JSON: Final = msgspec.json.Encoder()


class Events:
    """Takes events."""

    def __init__(self, door: Door, expressions: Expressions) -> None:
        self._door = door
        self._expressions = expressions

    def begin(self, body: EventIn) -> Step:
        """Return what an event asks for, and what takes it with the notifications that rules make of it."""

        async def take(caller: Caller, facts: Facts, remember: Remember) -> Acceptance[EventOut]:
            return await self._take(caller, body, facts, remember)

        return Step(Asks(rules=True), take)

    async def _take(self, caller: Caller, body: EventIn, facts: Facts, remember: Remember) -> Acceptance[EventOut]:
        door, tenant = self._door, caller.tenant
        door.refuse_overload()
        now_ms = door.clock.now_ms()
        id_ = ids.write(ids.EVENT_PREFIX, ids.notification_id(now_ms, 0, door.clock.entropy(ids.ENTROPY_BYTES)))
        event = _event(body, now_ms)
        outcomes = await self._judged(tenant, facts.known, event, id_)
        recipients = sum(len(made.request.to) for outcome in outcomes for made in outcome.made)
        await door.quotas.charge(caller, facts.quotas, max(recipients, 1))
        taken: list[Taken] = []
        notifications: list[EventNotification] = []
        for outcome in outcomes:
            for entry, request in outcome.made:
                one = door.stamp(tenant, request)
                taken.append(one)
                notifications.append(_notification(outcome.rule.key, entry, one))
        told = EventOut(id_, notifications, [skip for one in outcomes for skip in skips_of(one)])
        await door.writer.take(taken, remember(told), _signals(tenant, event, now_ms))
        return Acceptance(told, quota=door.quotas.standing(caller, facts.quotas))

    async def rehearse(self, caller: Caller, body: EventIn) -> list[Outcome]:
        """Return what rules would make of an event, those that are switched off included."""
        event = _event(body, self._door.clock.now_ms())
        facts = await self._door.gather(caller.tenant, Asks(rules=True, backlog=False))
        return await self._judged(caller.tenant, facts.known, event, "", disabled=True)

    async def _judged(
        self, tenant: str, known: Known, event: Event, event_id: str, *, disabled: bool = False
    ) -> list[Outcome]:
        door = self._door
        rules = concerning(known.rules or (), event.type, disabled=disabled)
        admission = await door.admission_of(tenant, known, wants_of_rules([rule.body for rule in rules]))
        patience = _Patience(self._expressions, door.clock)
        reaction = Reaction(event, event_id, admission, patience.ask)
        for rule in rules:
            with patience:
                reaction.take(rule)
            await asyncio.sleep(0)  # other requests get their turn between two rules
        user_ids = {to.user_id for request in reaction.requests() for to in request.to if to.user_id}
        return reaction.settled(await gather_unknown_users(door.directory, tenant, user_ids))


class _Patience:
    """Evaluates expressions as long as the rules for an event, turns of others left out, take no more than
    `EVENT_WORK_MS_MAX`."""

    def __init__(self, expressions: Expressions, clock: Clock) -> None:
        self._expressions = expressions
        self._clock = clock
        self._began_ms = self._worked_ms = 0

    def __enter__(self) -> None:
        self._began_ms = self._clock.monotonic_ms()

    def __exit__(self, *_error: object) -> None:
        self._worked_ms += self._clock.monotonic_ms() - self._began_ms

    def ask(self, text: str, names: Mapping[str, Any]) -> Value:
        """Return what an expression gives. Raises `InvalidField` when it has become too much."""
        if self._worked_ms + self._clock.monotonic_ms() - self._began_ms > EVENT_WORK_MS_MAX:
            raise InvalidField("the rules for this event are too much work for data as large as this", field="data")
        try:
            return Value(self._expressions.compile(text, EXPRESSION_NAMES)(names))
        except ExpressionError as error:
            return Value(fault=str(error))


def _event(body: EventIn, now_ms: int) -> Event:
    """Return the event of a body that can be stored. Raises `InvalidField`."""
    checked_key(body.type, "type")
    if body.user_id is not None:
        identifier(body.user_id, "user_id")
    check.values(body.data)
    if len(_JSON.encode(body.data)) > DATA_BYTES_MAX:
        raise InvalidField(f"is larger than {DATA_BYTES_MAX} bytes", field="data")
    occurred_at = body.occurred_at or datetime.fromtimestamp(now_ms / 1000, UTC)
    return Event(body.type, body.user_id, occurred_at.astimezone(UTC), body.data)


def _signals(tenant: str, event: Event, now_ms: int) -> list[Signal]:
    """Return what instances that wait for such an event about this user are told."""
    user_id = event.user_id or event.data.get("user_id")
    if not isinstance(user_id, str) or not 1 <= len(user_id) <= KEY_CHARS_MAX:
        return []
    return [signal(tenant, event_key(event.type, user_id), now_ms, event.data)]


def _notification(rule: str, entry: int, taken: Taken) -> EventNotification:
    id_ = ids.write(ids.NOTIFICATION_PREFIX, taken.notification_id)
    return EventNotification(rule, entry, id_, [to.user_id for to in taken.request.to])


def skips_of(outcome: Outcome) -> list[EventSkip]:
    """Return what a rule did not make, and why."""
    return [_skip(outcome.rule.key, skipped) for skipped in outcome.skipped]


def _skip(rule: str, skipped: Skipped) -> EventSkip:
    return EventSkip(rule, skipped.reason, skipped.entry, skipped.user_id, skipped.detail)
