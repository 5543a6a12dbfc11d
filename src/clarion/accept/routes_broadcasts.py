"""Endpoints that start and steer broadcasts. Progress is read in the record stage."""

from typing import Final

import msgspec

from clarion.accept.idempotency import HEADER, REPLAYED, body_hash, entry, key_of
from clarion.accept.routes import Door, append_cancellation
from clarion.accept.shapes import BroadcastIn, BroadcastOut
from clarion.domain import ids
from clarion.domain.errors import Conflict, NotFound
from clarion.ports.journal import Append, Cursor, IdempotencyEntry
from clarion.ports.web import Call, Reply, Route

_PACK: Final = msgspec.msgpack.Encoder()
_JSON: Final = msgspec.json.Encoder()


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
        door, tenant, body = self._door, call.caller.tenant, call.body
        key = key_of(call.headers.get(HEADER), body.idempotency_key)
        if key is None:
            return Reply(raw=await self._start(tenant, body), status=202)
        digest = body_hash(call.raw)
        answer = door.once.begin(tenant, key, digest, door.clock.now_ms())
        if answer is not None:
            return Reply(raw=answer, status=202, headers=REPLAYED)
        try:
            return Reply(raw=await self._start(tenant, body, key, digest), status=202)
        finally:
            door.once.end(tenant, key)

    async def _start(self, tenant: str, body: BroadcastIn, key: str | None = None, digest: bytes = b"") -> bytes:
        door = self._door
        job = door.admission(tenant).broadcast(body)
        now_ms = door.clock.now_ms()
        entropy = door.clock.entropy(ids.ENTROPY_BYTES)
        partition = entropy[0] % door.journal.partitions
        id_ = ids.notification_id(now_ms, partition, entropy)
        cursor = Cursor(id_, tenant, partition, "running", 0, 0, 0, 0, now_ms, now_ms, _PACK.encode(job))
        answer = _JSON.encode(BroadcastOut(ids.write(ids.BROADCAST_PREFIX, id_), "running"))
        entries: list[IdempotencyEntry] = []
        if key is not None:
            entries.append(entry(tenant, key, digest, answer, now_ms))
        await door.journal.append(Append(cursors=[cursor], idempotency=entries))
        return answer

    async def pause(self, call: Call) -> Reply:
        return await self._steer(call, "paused", ("running", "paused"))

    async def resume(self, call: Call) -> Reply:
        return await self._steer(call, "running", ("paused", "running"))

    async def cancel(self, call: Call) -> Reply:
        reply = await self._steer(call, "cancelled", ("running", "paused", "done", "cancelled"))
        cursor = self._cursor(call)
        door = self._door
        await append_cancellation(door.journal, cursor.tenant, cursor.cursor_id, cursor.partition, door.clock.now_ms())
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
