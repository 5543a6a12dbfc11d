"""Endpoints that take events: rules make notifications of them, and instances that wait for them go on."""

import asyncio
from datetime import UTC, datetime
from typing import Final

import msgspec

from clarion.accept.door import Door
from clarion.accept.idempotency import HEADER, key_of
from clarion.accept.reactions import Outcome, Reaction, concerning
from clarion.accept.routes_once import Remember, answer_once
from clarion.accept.rules import check
from clarion.accept.rules.events import Event, Skipped
from clarion.accept.shapes_events import (
    DryNotification,
    DryOut,
    DryRule,
    EventIn,
    EventNotification,
    EventOut,
    EventSkip,
)
from clarion.accept.worker import Taken
from clarion.domain import ids
from clarion.domain.address import identifier
from clarion.domain.address import key as checked_key
from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.domain.event_rule import EventRule
from clarion.domain.limits import DATA_BYTES_MAX, KEY_CHARS_MAX
from clarion.journal.events import Request
from clarion.journal.signals import event_key, signal
from clarion.ports.expressions import Expressions
from clarion.ports.journal import Signal
from clarion.ports.web import Call, Reply, Route

_JSON: Final = msgspec.json.Encoder()


def routes(door: Door, expressions: Expressions) -> list[Route]:
    """Return the endpoints of events."""
    handlers = _Handlers(door, expressions)
    return [
        Route(
            "POST", "/v1/events", handlers.create, "notifications:write",
            "Tell what happened; event rules make notifications of it",
            body=EventIn, reply=EventOut, status=202, tag="events",
        ),
        Route(
            "POST", "/v1/events/dry-run", handlers.dry_run, "notifications:read",
            "What event rules would make of an event, and why not more",
            body=EventIn, reply=DryOut, tag="events",
        ),
    ]  # fmt: skip


class _Handlers:
    def __init__(self, door: Door, expressions: Expressions) -> None:
        self._door = door
        self._expressions = expressions

    async def create(self, call: Call) -> Reply:
        key = key_of(call.headers.get(HEADER), call.body.idempotency_key)
        return await answer_once(self._door, call, key, lambda remember: self._take(call, remember))

    async def _take(self, call: Call, remember: Remember) -> Reply:
        door, tenant = self._door, call.caller.tenant
        door.refuse_overload()
        now_ms = door.clock.now_ms()
        entropy = door.clock.entropy(ids.ENTROPY_BYTES)
        id_ = ids.write(ids.EVENT_PREFIX, ids.notification_id(now_ms, 0, entropy))
        event = _event(call.body, now_ms)
        outcomes = await self._judged(tenant, event, id_)
        recipients = sum(len(made.request.to) for outcome in outcomes for made in outcome.made)
        door.quotas.charge(call.caller, max(recipients, 1))
        taken: list[Taken] = []
        notifications: list[EventNotification] = []
        for outcome in outcomes:
            for entry, request in outcome.made:
                one = door.stamp(tenant, request)
                taken.append(one)
                notifications.append(_notification(outcome.rule.key, entry, one))
        answer = _JSON.encode(EventOut(id_, notifications, [skip for one in outcomes for skip in _skips(one)]))
        await door.writer.take(taken, remember(answer), _signals(tenant, event, now_ms))
        return Reply(raw=answer, status=202, headers=door.quotas.standing(call.caller))

    async def dry_run(self, call: Call) -> Reply:
        event = _event(call.body, self._door.clock.now_ms())
        outcomes = await self._judged(call.caller.tenant, event, "", disabled=True)
        return Reply(DryOut([_dry(outcome) for outcome in outcomes]))

    async def _judged(self, tenant: str, event: Event, event_id: str, *, disabled: bool = False) -> list[Outcome]:
        door = self._door
        reaction = Reaction(event, event_id, self._expressions, door.admission(tenant), door.clock)
        for rule in concerning(door.directory.definitions(tenant, EventRule), event.type, disabled=disabled):
            reaction.take(rule)
            await asyncio.sleep(0)  # other requests get their turn between two rules
        return reaction.settled()


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


def _skips(outcome: Outcome) -> list[EventSkip]:
    return [_skip(outcome.rule.key, skipped) for skipped in outcome.skipped]


def _skip(rule: str, skipped: Skipped) -> EventSkip:
    return EventSkip(rule, skipped.reason, skipped.entry, skipped.user_id, skipped.detail)


def _dry(outcome: Outcome) -> DryRule:
    rule = outcome.rule
    would = [_would(entry, request) for entry, request in outcome.made]
    return DryRule(rule.key, rule.version, outcome.matched, would, _skips(outcome))


def _would(entry: int, request: Request) -> DryNotification:
    channels = [Channel(name) for name in request.channels] if request.channels else None
    return DryNotification(
        entry, [to.user_id for to in request.to], request.data, request.template or None, request.workflow or None,
        channels, request.category, request.lane,
    )  # fmt: skip
