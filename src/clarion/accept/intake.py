"""The one door for whatever is sent, by whatever way it comes: a typed request in, a typed acceptance out."""

from collections.abc import Callable
from typing import Any, NamedTuple, overload

import msgspec

from clarion.accept.acceptances import Acceptance, kept, recalled
from clarion.accept.admit import addressed, users_of
from clarion.accept.definitions import wants_of
from clarion.accept.idempotency import Once, entry, given
from clarion.accept.intake_apart import apart
from clarion.accept.intake_batches import Batches
from clarion.accept.intake_broadcasts import Broadcasts
from clarion.accept.intake_door import Asks, Door, Facts, Remember, Step, Take
from clarion.accept.intake_events import Events
from clarion.accept.reactions import Outcome
from clarion.accept.shapes import BatchOut, BroadcastIn, BroadcastOut, NotificationIn, NotificationOut
from clarion.accept.shapes_events import EventIn, EventOut
from clarion.accept.submissions import Batch, Key, Marked
from clarion.accept.worker import told_of
from clarion.journal.events import Request
from clarion.ports.expressions import Expressions
from clarion.ports.stage_store import IdempotencyEntry, StaleKey
from clarion.ports.web import Caller


class _Way(NamedTuple):
    """What a kind of request is answered with, and what begins to take it."""

    told: type[Any]
    begin: Callable[[Any], Step]


class Intake:
    """Takes requests. Whatever it raises is a `CallerError`, or what the store raises, and then nothing was stored."""

    def __init__(self, door: Door, expressions: Expressions) -> None:
        self._door = door
        self._once = Once()
        self._events = Events(door, expressions)
        self._ways = {
            NotificationIn: _Way(NotificationOut, self._notification),
            Marked: _Way(NotificationOut, self._marked),
            Batch: _Way(BatchOut, Batches(door, self._once).begin),
            BroadcastIn: _Way(BroadcastOut, Broadcasts(door).begin),
            EventIn: _Way(EventOut, self._events.begin),
        }

    @overload
    async def submit(
        self, caller: Caller, request: NotificationIn | Marked, key: Key | None
    ) -> Acceptance[NotificationOut]: ...
    @overload
    async def submit(self, caller: Caller, request: Batch, key: Key | None) -> Acceptance[BatchOut]: ...
    @overload
    async def submit(self, caller: Caller, request: BroadcastIn, key: Key | None) -> Acceptance[BroadcastOut]: ...
    @overload
    async def submit(self, caller: Caller, request: EventIn, key: Key | None) -> Acceptance[EventOut]: ...
    async def submit(
        self, caller: Caller, request: NotificationIn | Marked | Batch | BroadcastIn | EventIn, key: Key | None
    ) -> Acceptance[Any]:
        """Return what was accepted once it is durable. With a key it is carried out once, by whichever process comes first,
        and whoever comes again gets what was told then."""
        if not isinstance(request, Batch):
            await self._door.writer.turn()
        told, begin = self._ways[type(request)]
        asks, take = await apart(isinstance(request, Batch) and request.large, begin, request)
        tenant, door = caller.tenant, self._door
        if asks.backlog and (key is None or isinstance(request, Batch)):
            door.refuse_known_overload()
        if key is not None:
            asks = asks._replace(keys={key.text, *asks.keys})
        with self._once.looking(tenant, asks.keys) as look:
            facts = await door.gather(tenant, asks, look)
            if isinstance(request, Batch):
                door.refuse_overload()
            if key is None:
                return await take(caller, facts, _forget)
            return await self._keyed(caller, key, facts, told, take)

    async def _keyed(self, caller: Caller, key: Key, facts: Facts, told: type[Any], take: Take) -> Acceptance[Any]:
        """Take a request with a key, unless that was answered already."""
        tenant, door = caller.tenant, self._door
        await door.catch_up(tenant, facts)
        before = self._once.begin(tenant, key, facts.answers.get(key.text))
        if before is not None:
            return Acceptance(recalled(before, told), replayed=True)
        try:
            return await take(caller, facts, lambda told: [entry(tenant, key, kept(told), door.clock.now_ms())])
        except StaleKey:
            remembered = (await door.remembered(tenant, [key.text])).get(key.text)
            return Acceptance(recalled(given(key, remembered), told), replayed=True)
        finally:
            self._once.end(tenant, key.text)

    async def check(self, tenant: str, body: NotificationIn) -> Request:
        """Return the request that a notification would be. Raises `InvalidField`."""
        to = addressed(body)
        asks = Asks(wants_of([body]), users_of([to]), backlog=False)
        return self._door.checked(to, await self._door.gather(tenant, asks))

    async def rehearse(self, caller: Caller, event: EventIn) -> list[Outcome]:
        """Return what event rules would make of an event, those that are switched off included."""
        return await self._events.rehearse(caller, event)

    def _notification(self, body: NotificationIn) -> Step:
        to = addressed(body)

        async def take(caller: Caller, facts: Facts, remember: Remember) -> Acceptance[NotificationOut]:
            self._door.refuse_overload()
            return await self._take(caller, self._door.checked(to, facts), facts, remember)

        return Step(Asks(wants_of([body]), users_of([to])), take)

    def _marked(self, marked: Marked) -> Step:
        to = addressed(marked.body)

        async def take(caller: Caller, facts: Facts, remember: Remember) -> Acceptance[NotificationOut]:
            self._door.refuse_overload()
            request = self._door.checked(to, facts)
            described = [msgspec.structs.replace(one, attributes=marked.attributes) for one in request.to]
            return await self._take(caller, msgspec.structs.replace(request, to=described), facts, remember)

        return Step(Asks(wants_of([marked.body]), users_of([to])), take)

    async def _take(
        self, caller: Caller, request: Request, facts: Facts, remember: Remember
    ) -> Acceptance[NotificationOut]:
        door = self._door
        quota = await door.quotas.charge(caller, facts.quotas, len(request.to))
        taken = door.stamp(caller.tenant, request)
        told = told_of(taken)
        await door.writer.take([taken], remember(told))
        return Acceptance(told, quota=quota)


def _forget(_told: msgspec.Struct) -> list[IdempotencyEntry]:
    return []
