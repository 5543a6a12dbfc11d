"""How connections end: every client that is refused, half-closed or served during a stop gets its response, and no client
holds a connection for ever."""

import asyncio
import contextlib
import http.client
import socket

import h11
import pytest

from clarion.domain.limits import (
    CHUNK_OVERHEAD_BYTES_MAX,
    CHUNKS_TINY_MAX,
    HEAD_BYTES_MAX,
    HEADERS_MAX,
    TARGET_BYTES_MAX,
)
from clarion.domain.security_events import SecurityEvent
from clarion.edge import deadlines, lingering, protocol
from clarion.edge.connections import Connections
from tests.security.served import answer_of, hello, served, until
from tests.security.test_edge_connections import GET, LARGE, Gated, echo

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.slow]

POST = b"POST /1 HTTP/1.1\r\nhost: a\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


async def unauthorized(scope, receive, send):
    """Refuse any request without reading its body."""
    head = [(b"content-length", b"2"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 401, "headers": head})
    await send({"type": "http.response.body", "body": b"no"})


def sent_by_socket(port, head, size):
    """Send a request with a large body, read nothing until all of it is sent, and return the response."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
        one.sendall(head)
        for _ in range(size // 65_536):
            one.sendall(bytes(65_536))
        answer = b""
        while piece := one.recv(65_536):
            answer += piece
        return answer


def sent_by_http_client(port, size):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/", bytes(size))
    return connection.getresponse().status


def sent_by_h11(port, size):
    client = h11.Connection(h11.CLIENT)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one:
        head = [("host", "a"), ("content-length", str(size))]
        one.sendall(client.send(h11.Request(method="POST", target="/", headers=head)))
        one.sendall(client.send(h11.Data(data=bytes(size))))
        one.sendall(client.send(h11.EndOfMessage()))
        while (event := client.next_event()) is h11.NEED_DATA:
            client.receive_data(one.recv(65_536))
        return event.status_code


@pytest.mark.parametrize("send", [sent_by_http_client, sent_by_h11])
async def test_a_client_that_is_refused_while_it_sends_gets_the_response(send):
    async with served(unauthorized) as connect:
        assert await asyncio.to_thread(send, connect.port, len(LARGE)) == 401
        await connect.until_alone()


async def test_a_malformed_request_with_much_behind_it_gets_the_response():
    async with served() as connect:
        head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n"
        answer = await asyncio.to_thread(sent_by_socket, connect.port, head, len(LARGE))
        assert answer.startswith(b"HTTP/1.1 400 ")
        await connect.until_alone()


@pytest.mark.parametrize(
    ("bound", "value"), [("LINGER_SILENCE_MS_MAX", 50), ("LINGER_MS_MAX", 100), ("LINGER_BYTES_MAX", 1_000)]
)
async def test_a_refused_client_that_neither_ends_nor_closes_is_disconnected(bound, value, monkeypatch):
    monkeypatch.setattr(lingering, bound, value)
    async with served(unauthorized) as connect:
        reader, writer = await connect()
        writer.write(POST + b"content-length: 99999999\r\n\r\nx")
        assert (await answer_of(reader)).startswith(b"HTTP/1.1 401 ")
        async with asyncio.timeout(5):
            while connect.server.server_state.connections:
                if bound != "LINGER_SILENCE_MS_MAX":
                    writer.write(bytes(100))
                await asyncio.sleep(0.005)
        writer.transport.abort()


async def test_a_body_that_was_answered_before_it_came_is_bounded(monkeypatch):
    monkeypatch.setattr(protocol, "LINGER_BYTES_MAX", 300_000)
    async with served() as connect:
        reader, writer = await connect()
        writer.write(CHUNKED)
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"ok"), 5)
        writer.write(b"100000\r\n" + bytes(1_000_000))
        await connect.until_alone()
        writer.transport.abort()


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (POST + b"content-length: 1\r\n\r\nx", 1),
        (GET + GET, 2),
        (GET + GET[:-1], 1),
    ],
)
async def test_a_client_that_closes_its_sending_side_gets_the_responses(sent, answered):
    app = Gated()
    async with served(app) as connect:
        reader, writer = await connect()
        writer.write(sent)
        writer.write_eof()
        await app.until_begun(1)
        await asyncio.sleep(0.02)
        app.gate.set()
        assert (await answer_of(reader)).count(b"200 OK") == answered
        await connect.until_alone()
        writer.close()


async def stopped(app, sent, *, begun=True):
    """Stop a server while a client has sent something; return what the client got, and how the stop went."""
    async with served(app) as connect:
        reader, writer = await connect()
        writer.write(sent)
        await (app.until_begun(1) if begun else until(lambda: connect.server.server_state.connections))
        await asyncio.sleep(0.02)
        for connection in list(connect.server.server_state.connections):
            connection._others.stopping = True
            connection.shutdown()
        asyncio.get_running_loop().call_later(0.05, app.gate.set)
        answer = await answer_of(reader)
        writer.close()
        await connect.until_alone()
        return answer


class Reading(Gated):
    """An application that reads its body before it answers."""

    async def __call__(self, scope, receive, send):
        self.begun += 1
        await echo(scope, receive, send)


async def test_a_stop_refuses_a_request_whose_body_is_not_complete():
    answer = await stopped(Reading(), POST + b"content-length: 2\r\n\r\nx")
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"stopping"' in answer
    assert b"\r\nconnection: close\r\n" in answer
    assert b"\r\nretry-after: 1\r\n" in answer


async def test_a_stop_lets_a_response_under_way_end():
    answer = await stopped(Gated(), GET)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in answer


@pytest.mark.parametrize("sent", [b"", GET[:-2]])
async def test_a_stop_closes_idle_connections(sent):
    assert await stopped(Gated(), sent, begun=False) == b""


JAVA = (
    b"Connection: Upgrade, HTTP2-Settings\r\nHost: 127.0.0.1:8400\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\nUser-Agent: Java-http-client/17\r\n"
)
"""Headers that Java's HttpClient sends with the first request of a connection."""
OFFERS = (
    b"POST /1 HTTP/1.1\r\n" + JAVA + b"content-length: 31\r\n\r\nGET /evil HTTP/1.1\r\nhost: a\r\n\r\n"
    b"POST /2 HTTP/1.1\r\n" + JAVA + b"transfer-encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n1\r\ny\r\n0\r\n\r\n"
    b"GET /3 HTTP/1.1\r\n" + JAVA + b"\r\n"
    b"GET /4 HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: close, upgrade\r\n\r\n"
)


@pytest.mark.parametrize("size", [len(OFFERS), 1, 2, 3, 7, 64, 200])
async def test_an_offer_to_upgrade_is_ignored(size):
    async with served(echo) as connect:
        reader, writer = await connect()
        for at in range(0, len(OFFERS), size):
            writer.write(OFFERS[at : at + size])
            await asyncio.sleep(0)
        answer = await answer_of(reader)
        assert [part.partition(b"<")[2] for part in answer.split(b"HTTP/1.1 ")[1:]] == [
            b"/1 GET /evil HTTP/1.1\r\nhost: a\r\n\r\n host,user-agent,content-length>",
            b"/2 \r\n\r\ny host,user-agent,transfer-encoding>",
            b"/3  host,user-agent>",
            b"/4  host,connection>",
        ]
        writer.close()


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (414, b"GET /" + b"a" * TARGET_BYTES_MAX + b" HTTP/1.1\r\nhost: a\r\n\r\n"),
        (414, b"GET /" + b"a" * (HEAD_BYTES_MAX + 5_000) + b" HTTP/1.1\r\nhost: a\r\n\r\n"),
        (414, b"GET /" + b"a" * 2 * HEAD_BYTES_MAX),
        (431, b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a: b\r\n" * HEADERS_MAX + b"\r\n"),
        (431, b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * HEAD_BYTES_MAX + b"\r\n\r\n"),
        (431, b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 2 * HEAD_BYTES_MAX),
        (400, CHUNKED + b"1\r\nx\r\n" * (CHUNK_OVERHEAD_BYTES_MAX // 4) + b"0\r\n\r\n"),
        (400, CHUNKED + b"3\r\nabc\r\n" * (CHUNKS_TINY_MAX + 1) + b"0\r\n\r\n"),
        (400, CHUNKED + b"1;" + b"e" * 50_000 + b"\r\nx\r\n1;" + b"e" * 50_000 + b"\r\nx\r\n0\r\n\r\n"),
        (431, CHUNKED + b"1;" + b"e" * 2 * HEAD_BYTES_MAX),
    ],
)
async def test_what_is_too_large_is_refused(status, sent):
    async with served(Reading()) as connect:
        reader, writer = await connect()
        writer.write(sent + GET)
        answer = await answer_of(reader)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert answer.count(b"HTTP/1.1 ") == 1
        writer.close()


@pytest.mark.parametrize("target", [b"/1", b"http://b/1", b"/1?a=b", b"/1#a"])
async def test_targets_that_are_accepted(target):
    async with served(echo) as connect:
        reader, writer = await connect()
        hosts = (b"b",) if target.startswith(b"http") else (b"a", b"a:80", b"[::1]:8400", b"127.0.0.1", b"a_b.example.")
        for host in hosts:
            writer.write(b"GET " + target + b" HTTP/1.1\r\nhost: " + host + b"\r\n\r\n")
            assert b"</1 " in await asyncio.wait_for(reader.readuntil(b">"), 5)
        writer.write(b"GET " + target + b" HTTP/1.0\r\n\r\n")
        assert b"</1 " in await answer_of(reader)
        writer.close()


EXPECTING = POST + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n"


async def test_a_refusal_takes_the_place_of_100_and_closes():
    async with served() as connect:
        reader, writer = await connect()
        writer.write(EXPECTING)
        answer = await answer_of(reader)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"\r\nconnection: close\r\n" in answer
        writer.close()


async def test_a_client_that_waits_for_100_keeps_its_connection():
    async with served(echo) as connect:
        reader, writer = await connect()
        for _ in range(2):
            writer.write(EXPECTING)
            assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"abc")
            answer = await asyncio.wait_for(reader.readuntil(b">"), 5)
            assert b"connection: close" not in answer
        writer.write(EXPECTING.replace(b"expect", b"connection: close\r\nexpect") + b"abc")
        assert b"\r\nconnection: close\r\n" in await answer_of(reader)
        writer.close()


async def test_a_body_that_trickles_is_refused(monkeypatch):
    monkeypatch.setattr(deadlines, "BODY_GRACE_MS", 50)
    async with served(Reading()) as connect:
        reader, writer = await connect()
        writer.write(POST + b"content-length: 1000000\r\n\r\n")
        answer = asyncio.create_task(answer_of(reader))
        async with asyncio.timeout(5):
            while not answer.done():
                writer.write(b"x")
                await asyncio.sleep(0.01)
        assert (await answer).startswith(b"HTTP/1.1 408 ")
        writer.close()


async def test_a_body_that_the_application_does_not_read_is_not_late(monkeypatch):
    monkeypatch.setattr(deadlines, "BODY_GRACE_MS", 20)
    app = Gated()
    async with served(app) as connect:
        reader, writer = await connect()
        writer.write(POST + b"content-length: %d\r\n\r\n" % len(LARGE) + LARGE)
        await asyncio.sleep(0.2)
        app.gate.set()
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"ok"), 5)
        writer.close()


async def test_a_response_that_is_taken_in_drops_is_ended(monkeypatch):
    """Between two checks the client takes some of it, but too little."""
    monkeypatch.setattr(deadlines, "RESPONSE_WAIT_MS_MAX", 100)
    monkeypatch.setattr(deadlines, "RESPONSE_BYTES_PER_S_MIN", 100 * len(LARGE))
    app = Gated(LARGE)
    app.gate.set()
    async with served(app) as connect:
        _, writer = await connect()
        writer.transport.pause_reading()
        taking = writer.get_extra_info("socket").dup()
        writer.write(GET)
        await app.until_begun(1)
        async with asyncio.timeout(5):
            while connect.server.server_state.connections:
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    taking.recv(200_000)
                await asyncio.sleep(0.02)
        taking.close()
        writer.transport.abort()


class Notes:
    """Records the security log."""

    def __init__(self):
        self.lines = []

    def security(self, event, **fields):
        self.lines.append((event, fields))


async def test_connections_beyond_the_bound_take_the_place_of_idle_ones():
    app, notes = Gated(), Notes()
    async with served(app, Connections(notes, 4)) as connect:
        (idle, _), (busy, writer) = made = [await connect(), await connect()]
        writer.write(GET)
        await app.until_begun(1)
        made.append(await connect())
        newest, other = made[-1]
        assert await answer_of(idle) == b""
        other.write(GET)
        await app.until_begun(2)
        made.append(await connect())
        assert await answer_of(made[-1][0]) == b""
        app.gate.set()
        for reader in (busy, newest):
            assert (await asyncio.wait_for(reader.readuntil(b"ok"), 5)).startswith(b"HTTP/1.1 200 ")
        assert [fields["reason"] for _, fields in notes.lines] == ["idle_connection_closed", "too_many_connections"]
        for _, writer in made:
            writer.close()
        await connect.until_alone()
        assert connect.connections._number == 0


async def test_a_refused_request_is_in_the_security_log():
    notes = Notes()
    async with served(hello, Connections(notes)) as connect:
        reader, writer = await connect()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await answer_of(reader)).startswith(b"HTTP/1.1 400 ")
        writer.close()
    assert notes.lines == [(SecurityEvent.REQUEST_REFUSED, {"reason": "malformed_request", "peer": "127.0.0.1"})]


@pytest.mark.parametrize(
    ("line", "status"), [(b"/" + b"a" * (TARGET_BYTES_MAX + 1), b"414"), (b"/ HTTP/1.1\r\nhost: a\r\nhost: b", b"400")]
)
async def test_a_refused_head_request_has_no_body(line, status):
    async with served() as server:
        reader, writer = await server()
        writer.write(b"HEAD " + (line if b"HTTP" in line else line + b" HTTP/1.1\r\nhost: a") + b"\r\n\r\n")
        writer.write_eof()
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"content-length: 0" not in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_a_body_too_large_to_be_read_to_its_end_closes_the_connection():
    async with served() as server:
        for length, closes in ((protocol.LINGER_BYTES_MAX, False), (protocol.LINGER_BYTES_MAX + 1, True)):
            reader, writer = await server()
            writer.write(POST + b"content-length: %d\r\n\r\n" % length)
            head = await reader.readuntil(b"\r\n\r\n")
            assert (b"connection: close" in head) is closes
            writer.close()
