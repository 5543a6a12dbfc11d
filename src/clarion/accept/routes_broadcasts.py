"""Endpoints that start and steer broadcasts. Progress is read in the record stage."""

from typing import Final

import msgspec

from clarion.accept.cancelling import Subject, cancellation
from clarion.accept.door import Door
from clarion.accept.idempotency import HEADER, key_of
from clarion.accept.routes_once import Remember, answer_once
from clarion.accept.shapes import BroadcastIn, BroadcastOut
from clarion.domain import ids
from clarion.domain.errors import Conflict, NotFound, Overloaded
from clarion.domain.segment import Filter
from clarion.journal.events import Audience
from clarion.ports.journal import Append, Cursor
from clarion.ports.web import Call, Caller, Reply, Route

_PACK: Final = msgspec.msgpack.Encoder()
_JSON: Final = msgspec.json.Encoder()
_FILTER: Final = msgspec.json.Decoder(Filter)
_RECOUNT_AFTER_S: Final = 60


def routes(door: Door) -> list[Route]:
    """Return the endpoints of broadcasts."""
    handlers = _Handlers(door)
    write = "notifications:write"
    steer = [
        ("pause", handlers.pause, "Stop planning further recipients"),
        ("resume", handlers.resume, "Go on where planning was paused"),
        ("cancel", handlers.cancel, "Plan nobody any more and cancel what is not on its way"),
    ]
    return [
        Route(
            "POST",
            "/v1/broadcasts",
            handlers.create,
            write,
            "Send to everyone, to a topic or to a segment",
            body=BroadcastIn,
            reply=BroadcastOut,
            status=202,
            tag="broadcasts",
        ),
        *(
            Route(
                "POST",
                f"/v1/broadcasts/{{id}}/{verb}",
                handler,
                write,
                summary,
                reply=BroadcastOut,
                status=202,
                tag="broadcasts",
            )
            for verb, handler, summary in steer
        ),
    ]


class _Handlers:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def create(self, call: Call) -> Reply:
        key = key_of(call.headers.get(HEADER), call.body.idempotency_key)
        return await answer_once(self._door, call, key, lambda remember: self._start(call, remember))

    async def _start(self, call: Call, remember: Remember) -> Reply:
        door, caller = self._door, call.caller
        job = door.admission(caller.tenant).broadcast(call.body)
        await self._check_size(caller, job.audience)
        headers = door.quotas.charge(caller, 1)
        now_ms = door.clock.now_ms()
        entropy = door.clock.entropy(ids.ENTROPY_BYTES)
        partition = entropy[0] % door.journal.partitions
        id_ = ids.notification_id(now_ms, partition, entropy)
        cursor = Cursor(id_, caller.tenant, partition, "running", 0, 0, 0, 0, now_ms, now_ms, _PACK.encode(job))
        answer = _JSON.encode(BroadcastOut(ids.write(ids.BROADCAST_PREFIX, id_), "running"))
        await door.journal.append(Append(cursors=[cursor], idempotency=remember(answer)))
        return Reply(raw=answer, status=202, headers=headers)

    async def _check_size(self, caller: Caller, audience: Audience) -> None:
        most = self._door.quotas.audience_max(caller)
        if most is None:
            return
        filter_ = None if audience.filter is None else _FILTER.decode(audience.filter)
        count = await self._door.audiences.count(caller.tenant, audience.topic, filter_, most=most)
        if count.users > most:
            self._door.quotas.refuse_audience(count.users, most)
        if not count.exact:
            raise Overloaded("the audience could not be counted in time", retry_after_s=_RECOUNT_AFTER_S)

    async def pause(self, call: Call) -> Reply:
        return await self._steer(call, "paused", ("running", "paused"))

    async def resume(self, call: Call) -> Reply:
        return await self._steer(call, "running", ("paused", "running"))

    async def cancel(self, call: Call) -> Reply:
        reply = await self._steer(call, "cancelled", ("running", "paused", "done", "cancelled"))
        cursor = self._cursor(call)
        door = self._door
        subject = Subject(cursor.cursor_id, cursor.partition)
        await door.journal.append(cancellation(cursor.tenant, [subject], door.clock.now_ms()))
        return reply

    async def _steer(self, call: Call, status: str, allowed_from: tuple[str, ...]) -> Reply:
        cursor = self._cursor(call)
        journal = self._door.journal
        now_ms = self._door.clock.now_ms()
        if not await journal.set_cursor_status(cursor.cursor_id, status, allowed_from, now_ms):
            raise Conflict(f"broadcast is {self._cursor(call).status}", code="broadcast_state")
        return Reply(BroadcastOut(call.path["id"], status), 202)

    def _cursor(self, call: Call) -> Cursor:
        text = call.path["id"]
        id_ = ids.read(ids.BROADCAST_PREFIX, text)
        cursor = self._door.journal.cursor(id_) if id_ else None
        if cursor is None or cursor.tenant != call.caller.tenant:
            raise NotFound(f"unknown broadcast {text!r}", field="id")
        return cursor
