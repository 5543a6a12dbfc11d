"""Handshakes of WebSockets: those of RFC 6455 are accepted, all others are answered as HTTP."""

import asyncio

import pytest

from clarion.edge.tls.listener import TlsListener
from clarion.edge.tls.renewal import ServerTls
from clarion.gateway.codes import Closing
from tests.certificates import ServerFiles
from tests.live.gateways import HEAD, KEY, PING, PONG, TEXT, frame, gateway
from tests.security.served import hello, until
from tests.security.test_tls import Running, trusting

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


async def answer(live, head):
    """Return the head of the answer to a request after which the client sends no more."""
    client = await live.connect()
    client.writer.write(head)
    client.writer.write_eof()
    return await asyncio.wait_for(client.reader.read(), 5)


@pytest.fixture
async def live():
    async with gateway(hello) as one:
        yield one


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (KEY, b"short=="),
        (KEY, KEY[:-2]),
        (KEY, b"?" * 22 + b"=="),
        (b"sec-websocket-key: " + KEY + b"\r\n", b""),
        (b"version: 13", b"version: 8"),
        (b"sec-websocket-version: 13\r\n", b""),
        (b"connection: Upgrade", b"connection: close"),
        (b"sec-websocket-key", b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-key"),
        (b"host: a", b"host: a b"),
        (b"host: a\r\n", b""),
        (b"host: a", b"host: a\r\nhost: b"),
        (b"GET", b"CONNECT"),
        (b"GET /v1/live HTTP/1.1", b"GET /v1/live HTTP/1.0"),
        (b"GET /v1/live", b"GET http://b/v1/live"),
        (b"upgrade: websocket", b"upgrade: websocket\r\nupgrade: websocket"),
        (b"upgrade: websocket", b"upgrade: websocket\r\ncontent-length: 5"),
        (b"upgrade: websocket", b"upgrade: websocket\r\ntransfer-encoding: chunked"),
    ],
)
async def test_a_bad_handshake_is_refused_and_leaves_nothing(live, old, new):
    assert old in HEAD
    answered = await answer(live, HEAD.replace(old, new) + b"\r\n")
    assert not answered.startswith(b"HTTP/1.1 101 "), answered
    await until(lambda: not live.state.connections)
    assert not live.door._sessions


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"/v1/live", b"/v1/livex"),
        (b"/v1/live", b"/v1/live/"),
        (b"/v1/live", b"/"),
        (b"GET", b"POST"),
        (b"GET", b"HEAD"),
        (b"upgrade: websocket", b"upgrade: h2c"),
    ],
)
async def test_what_is_no_websocket_is_answered_by_the_application(live, old, new):
    answered = await answer(live, HEAD.replace(old, new) + b"\r\n")
    assert answered.startswith(b"HTTP/1.1 200 "), answered


async def test_the_answer_is_the_one_of_the_rfc(live):
    client = await live.connect()
    head = HEAD.replace(KEY, b"dGhlIHNhbXBsZSBub25jZQ==").replace(b"Upgrade", b"keep-alive, upgrade")
    client.writer.write(head + b"sec-websocket-extensions: permessage-deflate\r\nsec-websocket-protocol: x\r\n\r\n")
    answered = (await client.switched()).lower()
    assert b"\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n" in answered
    assert b"sec-websocket-extensions" not in answered and b"sec-websocket-protocol" not in answered


async def test_a_request_may_come_before_on_the_same_connection(live):
    client = await live.connect()
    client.writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" + HEAD + b"\r\n" + frame(b"?", PING))
    assert (await client.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 ")
    await client.switched()
    assert await client.frame() == (PONG, b"?")


async def test_a_token_in_the_address_lets_nobody_in(live):
    client = await live.client(HEAD.replace(b"/v1/live", f"/v1/live?token={live.token()}".encode()))
    client.writer.write(frame(b"?", PING))
    assert await client.frame() == (PONG, b"?")
    assert len(live.hub) == 0
    client.say(type="hello")
    assert await client.closed() == Closing.MALFORMED


async def test_over_tls(tmp_path):
    files = ServerFiles(tmp_path)
    async with gateway() as live:
        tls = ServerTls(files.settings(), live.notes, live.clock)
        listener = TlsListener(tls, live.make(), live.notes, Running(files.settings()).listener._arrivals)
        await listener.start("127.0.0.1", 0)
        live.port = listener.sockets[0].getsockname()[1]
        context = trusting(files)
        client = await live.greeted(ssl=context)
        other = await live.greeted(ssl=context)
        client.writer.write(frame(b"x", 9))
        assert await client.frame() == (PONG, b"x")
        live.add("y" * 200_000)
        for one in (client, other):
            operation, payload = await one.frame()
            assert operation == TEXT and len(payload) > 200_000
            assert await one.kind() == "counts"
        client.writer.write(frame(b"{", fin=False))
        assert await client.closed() == Closing.NOT_TEXT
        await until(lambda: len(live.hub) == 1)
        other.reader._transport.pause_reading()
        while len(live.hub):
            live.add("z" * 100_000)
            await asyncio.sleep(0.001)
        await until(lambda: not live.state.connections)
        listener.close()
        await listener.wait_closed()
