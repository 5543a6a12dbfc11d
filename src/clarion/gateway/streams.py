"""Clients over server-sent events (HTML standard, section 9.2), where sockets are blocked: the same messages, one per event.

Every event has the client's position as its id, which a browser sends back as `Last-Event-ID`.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from clarion.domain.errors import CallerError, Malformed, StoreUnavailable
from clarion.domain.inbox import Position
from clarion.domain.limits_gateway import (
    DRAIN_RETRY_MS_MAX,
    PING_INTERVAL_MS,
    UNSENT_SOCKET_BYTES_MAX,
)
from clarion.edge.safe_headers import SAFE
from clarion.gateway.codes import REASONS, Closing
from clarion.gateway.door import Door, take
from clarion.gateway.hub import Hub
from clarion.gateway.messages import goodbye

STREAM_PATH: Final = "/v1/live/events"
_HEAD: Final = (
    *SAFE,
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),  # a proxy would hold events back
    (b"vary", b"Origin"),
)
_QUERIES: Final = frozenset({"ticket", "position"})
_BEAT: Final = b": still here\n\n"
_BEARER: Final = "Bearer "
Refuse = Callable[[Send, CallerError | StoreUnavailable], Awaitable[None]]
"""Sends an error of the caller as the API does."""


class _Shown(msgspec.Struct):
    type: str
    position: str = ""


_DECODER: Final = msgspec.json.Decoder(_Shown)


class EventStream:
    """One stream. It is a `Client` of the hub."""

    def __init__(self) -> None:
        self.tenant = self.user_id = ""
        self.generation = self.expires_ms = 0
        self.position: Position | None = None
        self._waiting = deque[bytes]()
        self._size = 0
        self._ended = False
        self.code = 0
        """The code with which the gateway closed it, 0 when its client left."""
        self._awake = asyncio.Event()

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in order."""
        if self._ended:
            return
        for frame in frames:
            event = _event(frame)
            self._size += len(event)
            self._waiting.append(event)
        if self._size > UNSENT_SOCKET_BYTES_MAX:
            self._waiting.clear()
            self.close(Closing.SLOW_READER)
        self._awake.set()

    def drain(self) -> None:
        """Ask the client to leave, and to come back after a pause that is its own."""
        pause_ms = random.randrange(DRAIN_RETRY_MS_MAX)
        self.send([goodbye(pause_ms)])
        self._waiting.append(b"retry: %d\n\n" % pause_ms)
        self.close(Closing.GOING_AWAY)

    def close(self, code: Closing) -> None:
        """Say why in a last event, and end the stream."""
        if not self._ended:
            self._ended, self.code = True, int(code)
            body = msgspec.json.encode({"type": "close", "code": int(code), "reason": REASONS[code]})
            self._waiting.append(b"event: close\ndata: %b\n\n" % body)
            self._awake.set()

    async def next(self) -> bytes | None:
        """Return what to send next, a comment after a silence, and None after the end."""
        if not self._waiting and not self._ended:
            self._awake.clear()
            try:
                async with asyncio.timeout(PING_INTERVAL_MS / 1000):
                    await self._awake.wait()
            except TimeoutError:
                return _BEAT
        if not self._waiting:
            return None
        events = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        return events


class EventStreams:
    """The ASGI application of streams."""

    def __init__(self, hub: Hub, door: Door, refuse: Refuse) -> None:
        self._hub = hub
        self._door = door
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one stream until its client leaves or it is closed."""
        stream, headers = (
            EventStream(),
            {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        )
        origin = headers.get("origin", "")
        is_own = origin == f"{scope.get('scheme', 'http')}://{headers.get('host', '')}"
        try:
            token, ticket, position = _asked(scope, headers)
            address = (scope.get("client") or ("", 0))[0]
            grant = await self._door.admit(token, ticket, address, "" if is_own else origin)
            seen = self._door.seen(grant, position)
            take(stream, grant)
            self._hub.join(stream, seen)
        except (CallerError, StoreUnavailable) as error:
            await self._refuse(send, error)
            return
        cors = [(b"access-control-allow-origin", origin.encode("latin-1"))] if origin and not is_own else []
        self._door.count_opened("events")
        try:
            await self._write(stream, [*_HEAD, *cors], receive, send)
        finally:
            self._hub.leave(stream)
            self._door.count_closed("events", stream.code)

    async def _write(self, stream: EventStream, head: list[tuple[bytes, bytes]], receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": head})
        gone = asyncio.ensure_future(_gone(receive))
        try:
            while not gone.done() and (events := await _either(stream.next(), gone)) is not None:
                # The edge disconnects a client that takes nothing for too long.
                await send({"type": "http.response.body", "body": events, "more_body": True})
            if not gone.done():
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _either(following: Coroutine[Any, Any, bytes | None], gone: "asyncio.Future[None]") -> bytes | None:
    """Return what is next, None when the client has gone before."""
    task = asyncio.ensure_future(following)
    await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        return task.result()
    task.cancel()
    return None


def _asked(scope: Scope, headers: dict[str, str]) -> tuple[str | None, str | None, str | None]:
    """Return the token or the ticket, and the position. Raises `Malformed`."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=8)
    query = dict(pairs)
    if len(query) != len(pairs) or query.keys() - _QUERIES:
        raise Malformed("takes the query parameters ticket and position, each once")
    bearer = headers.get("authorization", "")
    token = bearer.removeprefix(_BEARER) if bearer.startswith(_BEARER) else None
    if (token is None) is (query.get("ticket") is None):
        raise Malformed("needs either a ticket or 'Authorization: Bearer <token>'")
    # A browser that comes back asks for the address that it has, and says in the header what it has seen since.
    return token, query.get("ticket"), headers.get("last-event-id") or query.get("position") or None


def _event(frame: bytes) -> bytes:
    """Return a message as an event. JSON in this form has no line break."""
    shown = _DECODER.decode(frame)
    head = f"event: {shown.type}\n" + (f"id: {shown.position}\n" if shown.position else "")
    return b"%bdata: %b\n\n" % (head.encode(), frame)
