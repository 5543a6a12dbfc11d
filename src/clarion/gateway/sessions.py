"""Clients over WebSocket: one session per connection, from its hello to its close code."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from picows import WSFrame, WSMsgType, WSTransport

from clarion.domain.errors import CallerError
from clarion.domain.inbox import Position
from clarion.domain.limits_gateway import (
    DRAIN_RETRY_MS_MAX,
    FRAME_BYTES_MAX,
    FRAMES_PER_S_MAX,
    HELLO_WAIT_MS_MAX,
    PING_INTERVAL_MS,
    PONG_WAIT_MS_MAX,
    SLOW_READER_MS_MAX,
    UNSENT_SOCKET_BYTES_MAX,
)
from clarion.edge.upgrades import Socket
from clarion.gateway.codes import REASONS, Closing
from clarion.gateway.messages import PONG, Hello, goodbye, read

_TEXT: Final = WSMsgType.TEXT
_TEXT_HEAD: Final = 0x81
_SHORT_BYTES_MAX: Final = 125
_CLOSING_WAIT_S: Final = 1.0
"""How long a client has to answer a close frame."""


class LiveSession(Socket):
    """A WebSocket of one client. It is a `Client` of the hub once its hello was accepted."""

    __slots__ = (
        "_begun_s", "_close_at_once", "_hello", "_last_s", "_leave", "_paused_s", "_pinged", "_tokens", "_transport", "address",
        "code", "due_s", "expires_ms", "generation", "is_open", "origin", "own_origin", "position", "task", "tenant", "user_id",
    )  # fmt: skip

    def __init__(
        self,
        hello: Callable[["LiveSession", Hello], None],
        leave: Callable[["LiveSession"], None],
        address: str,
        origin: str,
        own_origin: bool,
        now_s: float,
    ) -> None:
        """`hello` is called with the client's first message, `leave` when the connection has ended."""
        self._hello: Callable[[LiveSession, Hello], None] | None = hello
        self._leave = leave
        self._transport: WSTransport | None = None
        self._begun_s = self._last_s = now_s
        self._tokens = float(FRAMES_PER_S_MAX * 2)
        self._paused_s = 0.0
        self._pinged = False
        self.due_s = now_s
        """When a tick is due: before that, nothing can be late."""
        self.is_open = False
        self.code = 0
        """The code with which the gateway closed it, 0 when its client left."""
        self.address, self.origin, self.own_origin = address, origin, own_origin
        self.tenant = self.user_id = ""
        self.generation = self.expires_ms = 0
        self.position: Position | None = None
        self.task: asyncio.Task[Any] | None = None

    def begin(self, close: Callable[[], None]) -> None:
        """Keep what frees the connection."""
        self._close_at_once = close

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Wait for the client's hello."""
        self._transport, self.is_open = transport, True
        transport.underlying_transport.set_write_buffer_limits(UNSENT_SOCKET_BYTES_MAX // 4)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Free what the client held."""
        self.is_open = False
        ended: Any = transport.close_handshake  # None before a close frame
        if not self.code and ended is not None and ended.sent is not None and not ended.recv_then_sent:
            self.code = int(ended.sent.code)
        if self.task is not None:
            self.task.cancel()
        self._close_at_once()
        self._leave(self)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Read one frame."""
        if not self.is_open:
            self._drop(transport, frame)
            return
        now_s = asyncio.get_running_loop().time()
        if not self._may_send(now_s):
            self.close(Closing.TOO_MANY)
        elif frame.rsv1 or frame.rsv2 or frame.rsv3:  # compression was not agreed on
            self.close(Closing.PROTOCOL_ERROR)
        elif frame.msg_type is WSMsgType.CLOSE:
            self.is_open = False
            transport.send_close(frame.get_close_code())
            _end(transport)
        elif frame.msg_type is _TEXT and frame.fin:
            self._read(frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.PING:
            self._answer(transport, frame.get_payload_as_bytes())
        elif frame.msg_type is not WSMsgType.PONG:
            self.close(Closing.NOT_TEXT)

    def _answer(self, transport: WSTransport, payload: bytes) -> None:
        transport.send_pong(payload)
        self._check_unsent(transport)

    def _drop(self, transport: WSTransport, frame: WSFrame) -> None:
        """Read on after the end: a client that did not know yet may have sent a few frames, and answers with a close frame. A
        flood is cut off."""
        self._tokens -= 1
        if frame.msg_type is WSMsgType.CLOSE:
            _end(transport)
        elif self._tokens < -FRAMES_PER_S_MAX:
            transport.disconnect(graceful=False)

    def _may_send(self, now_s: float) -> bool:
        self._tokens = min(FRAMES_PER_S_MAX * 2, self._tokens + (now_s - self._last_s) * FRAMES_PER_S_MAX) - 1
        if self._pinged:
            self._pinged, self.due_s = False, now_s
        self._last_s = now_s
        return self._tokens >= 0

    def _read(self, payload: bytes) -> None:
        if len(payload) > FRAME_BYTES_MAX:
            self.close(Closing.TOO_BIG)
            return
        try:
            message = read(payload)
        except CallerError:
            self.close(Closing.MALFORMED)
            return
        if isinstance(message, Hello) and self._hello is not None:
            hello, self._hello = self._hello, None
            hello(self, message)
        elif isinstance(message, Hello) or self._hello is not None:  # the hello is the first message, and comes once
            self.close(Closing.MALFORMED)
        else:
            self.send([PONG])

    def pause_writing(self) -> None:
        """Record that the client does not read."""
        self._paused_s = self.due_s = asyncio.get_running_loop().time()

    def resume_writing(self) -> None:
        """Record that the client reads again."""
        self._paused_s = 0.0

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in order."""
        transport = self._transport
        if not self.is_open or transport is None:
            return
        if transport.is_secure or len(frames) > 1:
            transport.underlying_transport.write(b"".join(map(_framed, frames)))
        else:
            transport.send(_TEXT, frames[0])
        self._check_unsent(transport)

    def _check_unsent(self, transport: WSTransport) -> None:
        if transport.underlying_transport.get_write_buffer_size() > UNSENT_SOCKET_BYTES_MAX:
            self.close(Closing.SLOW_READER)

    def close(self, code: Closing) -> None:
        """Say why, and end the connection. What waits for a client that does not read is dropped."""
        transport = self._transport
        if not self.is_open or transport is None:
            return
        self.is_open, self.code = False, int(code)
        transport.send_close(code, REASONS[code].encode())  # type: ignore[arg-type]
        if code is Closing.SLOW_READER:
            transport.disconnect(graceful=False)
        else:
            asyncio.get_running_loop().call_later(_CLOSING_WAIT_S, _cut, transport)

    def drain(self) -> None:
        """Ask the client to leave, and to come back after a pause that is its own."""
        self.send([goodbye(random.randrange(DRAIN_RETRY_MS_MAX))])
        self.close(Closing.GOING_AWAY)

    def tick(self, now_s: float) -> None:
        """Ask a silent client whether it is there, and close one that says nothing or reads nothing in time."""
        silent_s = now_s - self._last_s
        if self._hello is not None and now_s - self._begun_s > HELLO_WAIT_MS_MAX / 1000:
            self.close(Closing.NO_HELLO)
        elif self._paused_s and now_s - self._paused_s > SLOW_READER_MS_MAX / 1000:
            self.close(Closing.SLOW_READER)
        elif self._pinged and silent_s > (PING_INTERVAL_MS + PONG_WAIT_MS_MAX) / 1000:
            self.close(Closing.NO_PONG)
        elif not self._pinged and silent_s > PING_INTERVAL_MS / 1000 and self.is_open and self._transport is not None:
            self._pinged = True
            self._transport.send_ping()
        self.due_s = self._due_s()

    def _due_s(self) -> float:
        due_s = self._last_s + (PING_INTERVAL_MS + (PONG_WAIT_MS_MAX if self._pinged else 0)) / 1000
        if self._hello is not None:
            due_s = min(due_s, self._begun_s + HELLO_WAIT_MS_MAX / 1000)
        if self._paused_s:
            due_s = min(due_s, self._paused_s + SLOW_READER_MS_MAX / 1000)
        return due_s


def _framed(payload: bytes) -> bytes:
    """Return a text frame of a server (RFC 6455, section 5.2): several are written at once, by one call of the system."""
    size = len(payload)
    if size <= _SHORT_BYTES_MAX:
        return bytes((_TEXT_HEAD, size)) + payload
    if size < 1 << 16:
        return bytes((_TEXT_HEAD, 126)) + size.to_bytes(2, "big") + payload
    return bytes((_TEXT_HEAD, 127)) + size.to_bytes(8, "big") + payload


def _end(transport: WSTransport) -> None:
    """End a connection once what waits is sent, or after a while."""
    transport.disconnect()
    asyncio.get_running_loop().call_later(_CLOSING_WAIT_S, _cut, transport)


def _cut(transport: WSTransport) -> None:
    """End a connection; what its client has not read by now is dropped, as it might never read it."""
    if not transport.is_disconnected:
        transport.disconnect(graceful=not transport.underlying_transport.get_write_buffer_size())
