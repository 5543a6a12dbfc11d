"""The one door for whatever is sent, by whatever way it comes: a typed request in, a typed acceptance out."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, overload

import msgspec

from clarion.accept.acceptances import Acceptance, kept, recalled
from clarion.accept.idempotency import Once, entry, given
from clarion.accept.intake_batches import Batches
from clarion.accept.intake_broadcasts import Broadcasts
from clarion.accept.intake_door import Door
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

Remember = Callable[[msgspec.Struct], list[IdempotencyEntry]]
"""Returns what has to be stored, in the commit of the request, for an answer to be given again."""


class _Way(NamedTuple):
    """What a kind of request is answered with, and what takes it."""

    told: type[Any]
    take: Callable[[Caller, Any, Remember], Awaitable[Acceptance[Any]]]


class Intake:
    """Takes requests. Whatever it raises is a `CallerError`, or what the store raises, and then nothing was stored."""

    def __init__(self, door: Door, expressions: Expressions) -> None:
        self._door = door
        self._once = Once()
        self._events = Events(door, expressions)
        self._ways = {
            NotificationIn: _Way(NotificationOut, self._notification),
            Marked: _Way(NotificationOut, self._marked),
            Batch: _Way(BatchOut, Batches(door, self._once).take),
            BroadcastIn: _Way(BroadcastOut, Broadcasts(door).take),
            EventIn: _Way(EventOut, self._events.take),
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
        told, take = self._ways[type(request)]
        if isinstance(request, Batch):
            await self._door.refuse_overload()
        if key is None:
            return await take(caller, request, _forget)
        tenant, door = caller.tenant, self._door
        before = self._once.begin(tenant, key, (await door.remembered(tenant, [key.text])).get(key.text))
        if before is not None:
            return Acceptance(recalled(before, told), replayed=True)
        try:
            return await take(caller, request, lambda told: [entry(tenant, key, kept(told), door.clock.now_ms())])
        except StaleKey:
            remembered = (await door.remembered(tenant, [key.text])).get(key.text)
            return Acceptance(recalled(given(key, remembered), told), replayed=True)
        finally:
            self._once.end(tenant, key.text)

    async def check(self, tenant: str, body: NotificationIn) -> Request:
        """Return the request that a notification would be. Raises `InvalidField`."""
        return await self._door.checked(tenant, body)

    async def rehearse(self, caller: Caller, event: EventIn) -> list[Outcome]:
        """Return what event rules would make of an event, those that are switched off included."""
        return await self._events.rehearse(caller, event)

    async def _notification(
        self, caller: Caller, body: NotificationIn, remember: Remember
    ) -> Acceptance[NotificationOut]:
        await self._door.refuse_overload()
        return await self._take(caller, await self._door.checked(caller.tenant, body), remember)

    async def _marked(self, caller: Caller, marked: Marked, remember: Remember) -> Acceptance[NotificationOut]:
        await self._door.refuse_overload()
        request = await self._door.checked(caller.tenant, marked.body)
        to = [msgspec.structs.replace(one, attributes=marked.attributes) for one in request.to]
        return await self._take(caller, msgspec.structs.replace(request, to=to), remember)

    async def _take(self, caller: Caller, request: Request, remember: Remember) -> Acceptance[NotificationOut]:
        door = self._door
        quota = await door.quotas.charge(caller, len(request.to))
        taken = door.stamp(caller.tenant, request)
        told = told_of(taken)
        await door.writer.take([taken], remember(told))
        return Acceptance(told, quota=quota)


def _forget(_told: msgspec.Struct) -> list[IdempotencyEntry]:
    return []
