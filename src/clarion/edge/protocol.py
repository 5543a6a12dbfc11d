"""uvicorn's HTTP/1.1 protocol, hardened: any client that can connect can send bytes, with or without a key.

A connection has one request at a time. What a client sends ahead is held, up to a bound, and reading pauses until the
request before is answered and the client has taken its response. A client that sends or takes nothing for too long is
disconnected, and a request whose meaning or length is ambiguous is refused.

A client that still sends when it is refused gets the response first, and so does one that closes its sending side.
"""

import asyncio
import math
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from clarion.domain.errors import CallerError, Overloaded, TooSlow
from clarion.domain.limits import (
    BODY_WAIT_MS_MAX,
    CHUNK_OVERHEAD_BYTES_MAX,
    CHUNK_TINY_BYTES_MAX,
    CHUNKED_PART_BYTES_MAX,
    CHUNKS_TINY_MAX,
    HEAD_BYTES_MAX,
    HEAD_WAIT_MS_MAX,
    HEADERS_MAX,
    RESPONSE_WAIT_MS_MAX,
)
from clarion.domain.limits_processes import LINGER_BYTES_MAX, STOPPING_RETRY_S, UNSENT_BYTES_MAX
from clarion.edge import heads
from clarion.edge.connections import Connections
from clarion.edge.cycle import IDLE_MS, VOUCH, CycleProtocol
from clarion.edge.deadlines import Deadline
from clarion.edge.lingering import Lingering
from clarion.edge.output import Output
from clarion.edge.refusals import refusal
from clarion.edge.sent_ahead import SentAhead


class BoundedHttp(CycleProtocol):
    """One connection."""

    __slots__ = (
        "_ahead", "_body_left", "_chunked", "_deadline", "_eof", "_head_bytes", "_host", "_in_head", "_in_line", "_keep_alive",
        "_lingering", "_offers_upgrade", "_once", "_others", "_overhead_bytes", "_ready_s", "_refused", "_since_s", "_stopped",
        "_tail", "_tiny_chunks", "_tracks_body", "_unread_bytes", "_whole", "_wire",
    )  # fmt: skip

    def __init__(self, connections: Connections, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._others = connections
        self.url = b""
        self._in_head = self._in_line = True
        """Whether a head is expected or has begun, and its request line has not ended."""
        self._whole = False
        """Whether the request under way has been read to its end; what follows waits for its response."""
        self._head_bytes = 0
        """Bytes since the last one of a body: of a head, or of the trailers of a body."""
        self._body_left = 0
        """Bytes that the body of a known length still lacks."""
        self._chunked = self._offers_upgrade = False
        self._overhead_bytes = self._tiny_chunks = 0
        """Bytes of a chunked body beyond twice its content, and its tiny chunks."""
        self._unread_bytes = 0
        """Bytes of a body that came after its request was answered."""
        self._tracks_body = False
        """Whether the deadline follows the body under way."""
        self._tail = b""
        """The last bytes parsed: the end of a head can come in pieces."""
        self._once: dict[bytes, bytes] = {}
        self._host: bytes | None = None
        """The last host that was checked."""
        self._keep_alive = True
        """Whether a request with `expect: 100-continue` permits another one after it."""
        self._ahead = SentAhead()
        self._stopped = self._refused = self._eof = False
        """Whether reading is paused, the request was refused, and the client has closed its sending side."""
        self._lingering: Lingering | None = None
        self._ready_s = -math.inf
        """When the last response was complete and the next request could begin, on the loop's clock."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first request's head, unless there are too many connections."""
        self._wire = transport
        transport.set_write_buffer_limits(UNSENT_BYTES_MAX)
        output = Output(transport, self._close)
        super().connection_made(cast("asyncio.Transport", output))
        self._deadline = Deadline(
            self.loop, output, on_late=self._late, on_late_body=self._refuse_late_body, is_reading=transport.is_reading
        )
        self._since_s = self._deadline.set(HEAD_WAIT_MS_MAX / 1000)
        if not self._others.enter(self):
            transport.abort()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Return whether the connection stays open for responses that a client still awaits (never with TLS)."""
        self._eof = True
        awaited = bool(self._ahead.data) or (self._whole and not self.cycle.response_complete)
        return awaited and self._wire.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free what the connection holds."""
        self._others.leave(self)
        self._ahead.take()
        self._deadline.cancel()
        super().connection_lost(exc)
        self._forget_request()

    @property
    def idle_since_s(self) -> float:
        """When it became idle, on the loop's clock; infinite while a request is under way."""
        if self._lingering is None and not (self._in_head or self.cycle.response_complete):
            return math.inf
        return max(self._since_s, self._ready_s)

    def abort(self) -> None:
        """Close the connection at once."""
        self._wire.abort()

    def shutdown(self) -> None:
        """Let the response under way end, refuse a request whose body is not complete, and close an idle connection."""
        if self._lingering is not None:
            self._deadline.set(self._lingering.stop(self.loop.time()))
        elif self._in_head or self.cycle.response_complete:
            self.transport.close()
        elif self._whole or self.cycle.response_started:
            self.cycle.keep_alive = False
        else:
            self._refuse(Overloaded("the server is stopping", retry_after_s=STOPPING_RETRY_S, code="stopping"))

    def data_received(self, data: bytes) -> None:
        """Parse data, or hold it while a request is under way or its response is not yet taken."""
        if self._lingering is not None:
            self._lingering.drop(len(data))
        elif self._whole or self._ahead.data or (self._in_head and self.flow.write_paused):
            self._hold(data, 0)
        else:
            self._feed(data, 0)

    def pause_writing(self) -> None:
        """Check from now on whether the client takes the response."""
        super().pause_writing()
        self._deadline.follow_response()

    def resume_writing(self) -> None:
        """Go on with the requests that were sent ahead."""
        super().resume_writing()
        if self._ahead.data and (not self._whole or self.cycle.response_complete):
            self._begin_next()

    def on_message_begin(self) -> None:
        """Record that a head begins."""
        super().on_message_begin()
        self._once = {}
        now_s = self._deadline.set(HEAD_WAIT_MS_MAX / 1000)
        state, idle_s = self.scope["state"], now_s - self._ready_s
        state[IDLE_MS] = idle_s * 1_000
        if idle_s == math.inf:
            state[VOUCH] = partial(self._others.vouch, self.client)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Record a header; the trailers of a body are ignored."""
        if not self._in_head:
            return
        name = name.lower()
        if name in heads.ONCE:
            if name in self._once:
                raise heads.RefusedRequest(f"the request has several {name.decode()} headers")
            self._once[name] = value
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        if len(self.headers) >= HEADERS_MAX:
            raise heads.too_many_headers()
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the request, unless it is ambiguous."""
        if self._head_bytes > HEAD_BYTES_MAX:
            raise heads.too_large(self.url)
        once, version = self._once, self.parser.get_http_version()
        heads.check_head(self.url, version, once, self.scope["scheme"])
        host = once.get(b"host")
        if host is None or host != self._host:
            heads.check_host(version, host)
            self._host = host
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise heads.RefusedRequest("the method CONNECT is not supported")
            self._offers_upgrade = True
            return
        if version == "1.0":
            self.expect_100_continue = False
        super().on_headers_complete()
        if self.expect_100_continue:
            # A client that gets another response than 100 need not send its body: what comes next would be ambiguous.
            self._keep_alive, self.cycle.keep_alive = self.cycle.keep_alive, False
        self._chunked = b"transfer-encoding" in once
        self._overhead_bytes, self._tiny_chunks, self._unread_bytes = -self._head_bytes, 0, 0
        self._in_head, self._head_bytes = False, 0
        self._body_left = int(once[b"content-length"]) if b"content-length" in once else 0
        self.cycle.keep_alive &= self._body_left <= LINGER_BYTES_MAX  # a larger body is not read to its end
        self._deadline.due_s = math.inf

    def on_body(self, body: bytes) -> None:
        """Pass a part of a body to the request, unless its response is complete."""
        self._head_bytes = 0
        if self._chunked:
            self._overhead_bytes -= 2 * len(body)
            self._tiny_chunks += len(body) <= CHUNK_TINY_BYTES_MAX
        cycle = self.cycle
        if cycle.response_complete:
            self._unread_bytes += len(body)
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Record that the request has been read to its end."""
        if self._offers_upgrade:
            return
        cycle = self.cycle
        if self._tracks_body:
            self._tracks_body = False
            self._deadline.forget_body()
        if cycle.response_complete:
            self._others.stop_lingering(self)
            self._await_head()
            return
        self._whole, self._head_bytes = True, 0
        if self.expect_100_continue and not cycle.response_started:
            cycle.keep_alive = self._keep_alive
        cycle.more_body = False
        cycle.message_event.set()

    def on_response_complete(self) -> None:
        """Begin the next request, or read to the end of this one."""
        self.server_state.total_requests += 1
        if self._lingering is not None:
            return
        if self._wire.is_closing():
            self._deadline.set(RESPONSE_WAIT_MS_MAX / 1000)
        elif self._whole:
            self._begin_next()
        elif not self._others.linger(self):
            self.transport.close()
        else:
            self.flow.resume_reading()
            self._deadline.forget_body()
            self._deadline.set(BODY_WAIT_MS_MAX / 1000)

    def _begin_next(self) -> None:
        if self._ahead.data and self.flow.write_paused:
            return
        self._await_head()
        if self._ahead.data:
            self._feed(*self._ahead.take())
        if self._ahead.data:
            return
        if self._eof:
            if not self._whole:
                self.transport.close()
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self._stopped:
            self._stopped = False
            self._wire.resume_reading()

    def _await_head(self) -> None:
        self._whole, self._in_head, self._in_line, self._head_bytes, self._tail = False, True, True, 0, b""
        self._ready_s = self._deadline.set(self.timeout_keep_alive)

    def _hold(self, data: bytes, at: int) -> None:
        """Hold the data from a position on, and read no more. What exceeds a bound is dropped, and the connection is
        closed after the response under way: the client sees which requests were answered."""
        self._stopped = True
        self._wire.pause_reading()
        if (self._whole and not self.cycle.keep_alive) or self._ahead.add(data, at):
            return
        if self._whole and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _feed(self, data: bytes, at: int) -> None:
        """Parse the data from a position on, up to the end of one request, and hold the rest."""
        size = len(data)
        while at < size and not self._whole:
            end = self._end_of_part(data, at)
            if not self._parse(data[at:end]):
                return
            at = end
        if at < size:
            self._hold(data, at)
        elif not (self._whole or self._in_head):
            self._follow_body(size)

    def _end_of_part(self, data: bytes, at: int) -> int:
        """Return a position up to which the data belongs to one request."""
        if self._body_left:
            end = min(len(data), at + self._body_left)
            self._body_left -= end - at
            return end
        end = heads.end_of_head(self._tail, data, at)
        return end if self._in_head or not self._chunked else min(end, at + CHUNKED_PART_BYTES_MAX)

    def _parse(self, part: bytes) -> bool:
        """Return whether a part of a request was accepted."""
        self._head_bytes += len(part)
        try:
            try:
                if self._in_line:
                    self._in_line = heads.line_goes_on(self._tail, part)
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade:
                self._ignore_upgrade()
        except (httptools.HttpParserError, heads.RefusedRequest) as error:
            # Without a variable: it and its traceback would hold the data in a cycle.
            self._refuse(heads.cause_of(error))
            return False
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(heads.too_large(self.url))
            return False
        if self._chunked and not self._in_head:
            self._overhead_bytes += len(part)
            if self._overhead_bytes > CHUNK_OVERHEAD_BYTES_MAX or self._tiny_chunks > CHUNKS_TINY_MAX:
                self._refuse(heads.RefusedRequest("the chunks of the body are too small"))
                return False
        if self._in_head or self._chunked:
            self._tail = (self._tail + part[-3:])[-3:]
        return True

    def _ignore_upgrade(self) -> None:
        """Parse the head again without its offer to upgrade: after the offer, a parser reads no body."""
        old, self._offers_upgrade = self.parser, False
        head = heads.without_upgrade(old.get_method(), self.url, old.get_http_version(), self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(head)

    def _follow_body(self, size: int) -> None:
        """Count bytes of a body that did not come with its head, and disconnect a client that sends too much of one that
        was refused."""
        if self.cycle.response_complete:
            if self._unread_bytes > LINGER_BYTES_MAX:
                self._wire.abort()
        elif self._tracks_body:
            self._deadline.body_bytes += size
        else:
            self._tracks_body = True
            self._deadline.follow_body()

    def _refuse_late_body(self) -> None:
        self._refuse(TooSlow("the body did not come in time"))

    def _refuse(self, error: CallerError) -> None:
        """Send an error instead of the response, unless one has begun, and close the connection."""
        self._others.report(error.code, self.client)
        self._refused = True
        begun = False
        if not self._in_head:
            cycle = self.cycle
            begun = cycle.response_started
            cycle.disconnected = not cycle.response_complete
            cycle.message_event.set()
        if not begun:
            headers, head = self.server_state.default_headers, self.parser.get_method() == b"HEAD"
            self.transport.write(refusal(error, headers, head=head))
        self.transport.close()

    def _forget_request(self) -> None:
        """Release what was read of a head: a connection that has ended stays in memory until it is collected."""
        self.headers, self.url, self.scope, self._once = [], b"", {}, {}  # type: ignore[typeddict-item]

    def _close(self) -> None:
        """Close the connection, or only its sending side when the client may still be sending."""
        sends = self._refused or self._stopped or not (self._whole or self._in_head)
        if self._wire.is_closing():
            return
        if self._eof or not (sends and self._others.linger(self)):
            self._wire.close()
            return
        self._ahead.take()
        self._forget_request()
        self._deadline.forget_body()
        self.flow.resume_reading()
        self._lingering = Lingering(self._wire, self.loop.time(), stopping=self._others.stopping)
        self._late()

    def _late(self) -> None:
        """Close the connection of a late client; while it lingers, wait for more."""
        wait_s = 0.0 if self._lingering is None else self._lingering.wait_s(self.loop.time())
        if wait_s:
            self._deadline.set(wait_s)
        else:
            self._wire.close()
