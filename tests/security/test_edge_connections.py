"""Connections of hostile clients: requests sent ahead, responses not taken, ambiguous requests, disconnects. Honest
clients that send ahead get right answers in order."""

import asyncio
import logging
import socket

import pytest

from clarion.domain.limits import HEAD_BYTES_MAX
from clarion.edge import deadlines, lingering, protocol, sent_ahead
from clarion.edge.byte_budget import ByteBudget
from clarion.edge.connections import Connections
from tests.security.served import answer_of, hello, served, until

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.slow]

GET = b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n"
LARGE = bytes(16 * 1024 * 1024)


async def echo(scope, receive, send):
    """Answer with the path and the body."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    names = b",".join(name for name, _ in scope["headers"])
    answer = b"<%s %s %s>" % (scope["path"].encode(), body, names)
    length = b"%d" % len(answer)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": answer})


class Gated:
    """An application that answers when its gate is open, and counts its requests."""

    def __init__(self, body=b"ok"):
        self.body, self.begun, self.ended, self.gate = body, 0, 0, asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.begun += 1
        await self.gate.wait()
        head = [(b"content-length", b"%d" % len(self.body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": self.body})
        self.ended += 1

    async def until_begun(self, number):
        await until(lambda: self.begun >= number)


AHEAD = (
    GET + b"\r\n"
    b"POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n\r\n\r\nx"
    b"POST /3 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    b"4\r\n\r\n\r\n\r\n1;e=1\r\ny\r\n0\r\nhost: trailer\r\nauthorization: trailer\r\n\r\n"
    b"POST /4 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    b"GET /5 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
)
ANSWERS = [
    b"</1  host>", b"</2 \r\n\r\nx host,content-length>", b"</3 \r\n\r\ny host,transfer-encoding>",
    b"</4  host,transfer-encoding>", b"</5  host,connection>",
]  # fmt: skip


def answers(raw):
    return [b"<" + part.partition(b"<")[2] for part in raw.split(b"HTTP/1.1 200 OK\r\n")[1:]]


async def test_requests_sent_ahead_are_answered_in_order_however_they_are_cut():
    async with served(echo) as connect:
        for size in (len(AHEAD), 1, 2, 3, 5, 7, 64, 100):
            reader, writer = await connect()
            writer.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(AHEAD), size):
                writer.write(AHEAD[at : at + size])
                await asyncio.sleep(0)
            assert answers(await answer_of(reader)) == ANSWERS, size
            writer.close()


async def test_many_requests_sent_ahead_are_all_answered():
    async with served() as connect:
        reader, writer = await connect()
        writer.write(GET * 20_000)
        for _ in range(20_000):
            assert (await asyncio.wait_for(reader.readuntil(b"ok"), 5)).startswith(b"HTTP/1.1 200")
        writer.close()
    assert sent_ahead._ALL.allocated == 0


async def test_a_connection_has_one_request_at_a_time():
    app = Gated()
    async with served(app) as connect:
        reader, writer = await connect()
        writer.write(GET * 50)
        await app.until_begun(1)
        await asyncio.sleep(0.05)
        assert app.begun == 1
        (connection,) = connect.server.server_state.connections
        assert not connection._wire.is_reading()
        app.gate.set()
        for _ in range(50):
            await asyncio.wait_for(reader.readuntil(b"ok"), 5)
        writer.close()


async def test_the_first_request_of_a_connection_can_vouch_for_it():
    vouches, vouched = [], []

    class Arrivals:
        vouch = vouched.append

    async def app(scope, receive, send):
        vouches.append(scope["state"].get(protocol.VOUCH))
        if vouches[-1] is not None:
            vouches[-1]()
        await hello(scope, receive, send)

    async with served(app, Connections(arrivals=Arrivals())) as connect:
        for _ in range(2):
            reader, writer = await connect()
            for _ in range(3):
                writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                await reader.readuntil(b"ok")
            writer.close()
    assert [vouch is not None for vouch in vouches] == [True, False, False] * 2
    assert vouched == ["127.0.0.1"] * 2


@pytest.mark.parametrize("bound", ["PIPELINED_BYTES_MAX", "_ALL"])
async def test_a_client_that_sends_too_much_ahead_gets_one_response(bound, monkeypatch):
    monkeypatch.setattr(sent_ahead, bound, 1_000 if bound == "PIPELINED_BYTES_MAX" else ByteBudget(1_000))
    async with served(echo) as connect:
        reader, writer = await connect()
        writer.write(GET * 100)
        answer = await answer_of(reader)
        assert answers(answer) == ANSWERS[:1]
        assert b"connection: close" in answer
        writer.close()


async def test_what_is_held_ahead_is_freed_when_the_client_disconnects():
    app = Gated()
    async with served(app) as connect:
        _, writer = await connect()
        writer.write(GET * 50)
        await app.until_begun(1)
        (connection,) = connect.server.server_state.connections
        assert sent_ahead._ALL.allocated == len(GET) * 50
        connection._wire.abort()
        await connect.until_alone()
        assert sent_ahead._ALL.allocated == 0
        app.gate.set()
        writer.close()


@pytest.mark.parametrize(("bound", "begun"), [(protocol.UNSENT_BYTES_MAX, 1), (4 * len(LARGE), 3)])
async def test_the_next_request_begins_when_the_response_before_is_taken(bound, begun, monkeypatch):
    monkeypatch.setattr(protocol, "UNSENT_BYTES_MAX", bound)
    app = Gated(LARGE)
    app.gate.set()
    async with served(app) as connect:
        reader, writer = await connect()
        for _ in range(3):
            writer.write(GET)
            await asyncio.sleep(0.05)
        assert app.begun == begun
        for _ in range(3):
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            await asyncio.wait_for(reader.readexactly(len(LARGE)), 5)
        assert app.begun == 3
        writer.close()


@pytest.mark.parametrize("more", [b"", b"GET /1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", GET * 10])
async def test_a_client_that_takes_nothing_of_its_response_is_disconnected(more, monkeypatch):
    monkeypatch.setattr(deadlines, "RESPONSE_WAIT_MS_MAX", 50)
    app = Gated(LARGE)
    app.gate.set()
    async with served(app) as connect:
        _, writer = await connect()
        writer.transport.pause_reading()
        writer.write(more or GET)
        await app.until_begun(1)
        await connect.until_alone()
        assert app.begun == 1
        writer.transport.abort()


async def test_a_client_that_takes_its_response_slowly_gets_all_of_it(monkeypatch):
    monkeypatch.setattr(deadlines, "RESPONSE_WAIT_MS_MAX", 200)
    app = Gated(LARGE)
    app.gate.set()
    async with served(app) as connect:
        reader, writer = await connect()
        writer.write(GET)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        for _ in range(32):
            await asyncio.wait_for(reader.readexactly(len(LARGE) // 32), 5)
            await asyncio.sleep(0.02)
        writer.close()


REFUSED = {
    "two lengths": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
    "a list of lengths": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\n",
    "length and encoding": b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
    "encoding and length": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 1\r\n\r\n",
    "two encodings": b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    "encoding in 1.0": b"POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n",
    "two credentials": b"GET / HTTP/1.1\r\nhost: a\r\nauthorization: a\r\nAuthorization: b\r\n\r\n",
    "a folded header": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
    "a bare LF": b"GET / HTTP/1.1\r\nhost: a\nx: b\r\n\r\n",
    "only LF": b"GET / HTTP/1.1\nhost: a\n\n",
    "a bare CR": b"GET / HTTP/1.1\r\nhost: a\rx: b\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
    "version 0.9": b"GET /\r\n\r\n",
    "version 0.9, named": b"GET / HTTP/0.9\r\n\r\n",
    "version 2.0": b"GET / HTTP/2.0\r\nhost: a\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "an empty host": b"GET / HTTP/1.1\r\nhost:\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
    "a host with a user": b"GET / HTTP/1.1\r\nhost: u@a\r\n\r\n",
    "two hosts in one": b"GET / HTTP/1.1\r\nhost: a, b\r\n\r\n",
    "a NUL in a value": b"GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n",
    "a NUL in a name": b"GET / HTTP/1.1\r\nhost: a\r\nx\0y: a\r\n\r\n",
    "a tunnel": b"CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n",
    "an absolute target without a path": b"GET http://a HTTP/1.1\r\nhost: a\r\n\r\n",
    "a relative target": b"GET a HTTP/1.1\r\nhost: a\r\n\r\n",
    "a space in the target": b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
    "two spaces before the target": b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
    "two spaces before the version": b"GET /  HTTP/1.1\r\nhost: a\r\n\r\n",
    "two spaces after an empty line": b"\r\nGET  / HTTP/1.1\r\nhost: a\r\n\r\n",
    "another scheme": b"GET https://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
    "a scheme of its own": b"GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
    "another authority": b"GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n",
    "another port": b"GET http://a:81/ HTTP/1.1\r\nhost: a:80\r\n\r\n",
    "a user in the target": b"GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n",
}


@pytest.mark.parametrize("head", REFUSED.values(), ids=REFUSED)
async def test_an_ambiguous_request_is_refused_and_the_connection_closed(head):
    app = Gated()
    app.gate.set()
    async with served(app) as connect:
        reader, writer = await connect()
        writer.write(head + GET)
        answer = await answer_of(reader)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert answer.count(b"HTTP/1.1") == 1
        assert b'"code":"malformed_request"' in answer
        assert app.begun == 0
        writer.close()


TWO_SPACES = b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.mark.parametrize("cut", range(1, TWO_SPACES.index(b"\r")))
async def test_two_spaces_are_seen_wherever_the_line_is_cut(cut):
    async with served() as connect:
        reader, writer = await connect()
        writer.write(GET)
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"ok"), 5)
        writer.write(TWO_SPACES[:cut])
        await asyncio.sleep(0.01)  # so that it comes as a piece of its own
        writer.write(TWO_SPACES[cut:])
        assert (await answer_of(reader)).startswith(b"HTTP/1.1 400")
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\nx:  a  b\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\nhost: a\r\nx:  a  b\r\n\r\n",
        b"GET HTTP://A:80/b?c HTTP/1.1\r\nhost: a:80\r\n\r\n",
        b"GET http://a/b HTTP/1.0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, 1_000])
async def test_what_only_looks_alike_is_answered(head, size):
    async with served() as connect:
        reader, writer = await connect()
        for at in range(0, len(head), size):
            writer.write(head[at : at + size])
            await asyncio.sleep(0)
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"ok"), 5)
        writer.close()


@pytest.mark.parametrize("size", [1_000, 300_000])
async def test_the_rest_of_a_refused_body_is_read_before_the_next_request(size):
    async with served() as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size)
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"ok"), 5)
        writer.write(b"x" * size + GET)
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"ok"), 5)
        writer.close()


async def test_a_refused_body_that_does_not_come_frees_its_connection(monkeypatch):
    monkeypatch.setattr(protocol, "BODY_WAIT_MS_MAX", 50)
    async with served() as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nx")
        assert (await answer_of(reader)).endswith(b"ok")
        writer.close()


@pytest.mark.parametrize("forever", [b"\r\n", b"x"])
async def test_what_is_no_request_does_not_keep_a_connection_open(forever, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_WAIT_MS_MAX", 100)
    monkeypatch.setattr(lingering, "LINGER_MS_MAX", 100)
    async with served(timeout_keep_alive=0.1) as connect:
        reader, writer = await connect()
        writer.write(GET)
        await asyncio.wait_for(reader.readuntil(b"ok"), 5)
        async with asyncio.timeout(5):
            while connect.server.server_state.connections:
                writer.write(forever)
                await asyncio.sleep(0.01)
        writer.close()


async def test_an_endless_trailer_is_cut_off():
    async with served(echo) as connect:
        reader, writer = await connect()
        writer.write(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: ")
        writer.write(b"y" * 3 * HEAD_BYTES_MAX)
        answer = await answer_of(reader)
        assert answer.startswith(b"HTTP/1.1 431")
        writer.close()


PARTS = [b"GET", GET[:-2], GET, GET * 50, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n", AHEAD]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("app", [echo, Gated])
async def test_a_disconnect_at_any_time_is_no_error(part, app, caplog):
    caplog.set_level(logging.INFO)
    app = app(LARGE) if app is Gated else app
    async with served(app) as connect:
        for abort in (True, False):
            _, writer = await connect()
            writer.write(part)
            await asyncio.sleep(0.02)
            connections = list(connect.server.server_state.connections)
            if abort:
                writer.transport.abort()
            else:
                writer.close()
            if isinstance(app, Gated):
                app.gate.set()
            for connection in connections:
                connection._wire.abort()
            await connect.until_alone()
        await until(lambda: not connect.server.server_state.tasks)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING or record.exc_info]
