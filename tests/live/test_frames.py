"""Frames of a WebSocket that keep to no rule: each is closed with its code, and the others are served."""

import asyncio
import json
import struct

import pytest

from clarion.domain.limits_gateway import FRAME_BYTES_MAX, FRAMES_PER_S_MAX, UNSENT_SOCKET_BYTES_MAX
from clarion.gateway import sessions
from clarion.gateway.codes import Closing
from tests.live.gateways import BINARY, CLOSE, HEAD, PING, PONG, TEXT, frame
from tests.security.served import until

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])
DEEP = b'{"type":' + b"[" * 5_000
BAD = {
    "unmasked": (frame(b"{}", masked=False), Closing.PROTOCOL_ERROR),
    "reserved bit": (frame(b"{}", reserved=4), Closing.PROTOCOL_ERROR),
    "reserved bits": (frame(b"{}", reserved=3), Closing.PROTOCOL_ERROR),
    "reserved operation": (frame(b"{}", 3), Closing.PROTOCOL_ERROR),
    "reserved control": (frame(b"{}", 11), Closing.PROTOCOL_ERROR),
    "long ping": (frame(bytes(126), PING), Closing.PROTOCOL_ERROR),
    "part of a ping": (frame(b"", PING, fin=False), Closing.PROTOCOL_ERROR),
    "close of one byte": (frame(b"\x03", CLOSE), Closing.PROTOCOL_ERROR),
    "close with a code of nobody": (frame(struct.pack(">H", 1005), CLOSE), Closing.PROTOCOL_ERROR),
    "part": (frame(b"{", fin=False), Closing.NOT_TEXT),
    "rest of nothing": (frame(b"}", 0), Closing.NOT_TEXT),
    "binary": (frame(b"{}", BINARY), Closing.NOT_TEXT),
    "too large": (frame(b" " * (FRAME_BYTES_MAX + 1)), Closing.TOO_BIG),
    "says it is huge": (frame(b"", size=2**62), Closing.TOO_BIG),
    "says it is endless": (frame(b"", size=2**63), Closing.PROTOCOL_ERROR),
    "no JSON": (frame(b"hello"), Closing.MALFORMED),
    "no text": (frame(b'{"type":"ping\xff"}'), Closing.MALFORMED),
    "deep": (frame(DEEP), Closing.MALFORMED),
    "no object": (frame(b"[]"), Closing.MALFORMED),
    "empty": (frame(b""), Closing.MALFORMED),
    "no such type": (frame(b'{"type":"subscribe"}'), Closing.MALFORMED),
    "unknown field": (frame(b'{"type":"ping","user":"ben"}'), Closing.MALFORMED),
    "ping before the hello": (frame(b'{"type":"ping"}'), Closing.MALFORMED),
    "hello without a credential": (frame(b'{"type":"hello"}'), Closing.MALFORMED),
    "hello with two": (frame(b'{"type":"hello","token":"a","ticket":"b"}'), Closing.MALFORMED),
    "long position": (
        frame(json.dumps({"type": "hello", "token": "a", "position": "p" * 129}).encode()),
        Closing.MALFORMED,
    ),
    "position of nobody": (None, Closing.MALFORMED),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_frame_is_closed_with_its_code(live, name):
    sent, code = BAD[name]
    other, client = await live.greeted(), await live.client()
    if sent is None:
        client.say(type="hello", token=live.token(), position="nowhere")
    else:
        client.writer.write(sent)
    assert await client.closed() == code
    client.writer.write(frame(struct.pack(">H", code), CLOSE))
    await client.ended()
    await until(lambda: len(live.state.connections) == 1)
    live.add("a")
    assert (await other.message())["id"] == "a"
    assert live.notes.counts["gateway_closed", "websocket", str(int(code))] == 1


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
async def test_frames_come_in_any_pieces(live, size):
    client = await live.connect()
    sent = HEAD + b"\r\n" + frame(json.dumps({"type": "hello", "token": live.token()}).encode()) + frame(b"?", PING)
    for at in range(0, len(sent), size):
        client.writer.write(sent[at : at + size])
        await asyncio.sleep(0)
    await client.switched()
    frames = [await client.frame() for _ in range(3)]
    assert (PONG, b"?") in frames
    assert sum(operation == TEXT for operation, _ in frames) == 2


async def test_a_client_need_not_wait_for_the_answer(live):
    client = await live.connect()
    client.writer.write(HEAD + b"\r\n" + frame(json.dumps({"type": "hello", "token": live.token()}).encode()))
    await client.switched()
    assert [await client.kind(), await client.kind()] == ["welcome", "counts"]


async def test_a_message_ping_is_answered(live):
    client = await live.greeted()
    client.say(type="ping")
    assert await client.message() == {"type": "pong"}


async def test_one_hello_and_no_more(live):
    client = await live.greeted()
    client.say(type="hello", token=live.token())
    assert await client.closed() == Closing.MALFORMED


@pytest.mark.parametrize(("payload", "operation"), [(b'{"type":"ping"}', TEXT), (b"", PING), (b"", PONG)])
async def test_a_flood_is_closed_and_then_cut_off(live, payload, operation):
    sent = frame(payload, operation)
    client = await live.greeted()
    client.writer.write(sent * (FRAMES_PER_S_MAX * 2 + 5))
    assert await client.closed() == Closing.TOO_MANY
    client.writer.write(sent * (FRAMES_PER_S_MAX * 2))
    await until(lambda: not live.state.connections)


async def test_frames_at_the_permitted_rate_are_answered(live):
    client = await live.greeted()
    client.writer.write(frame(b"", PING) * FRAMES_PER_S_MAX)
    assert [(await client.frame())[0] for _ in range(FRAMES_PER_S_MAX)] == [PONG] * FRAMES_PER_S_MAX


async def test_a_client_that_closes_is_answered_with_its_code(live):
    client = await live.greeted()
    client.writer.write(frame(struct.pack(">H", 1000) + b"bye", CLOSE))
    assert await client.closed() == 1000
    await client.ended()
    await until(lambda: not live.state.connections)
    assert len(live.hub) == 0
    assert live.notes.counts["gateway_closed", "websocket", "client"] == 1


async def test_a_client_that_vanishes_is_forgotten(live):
    for end in ("leave", "eof"):
        client = await live.greeted()
        client.leave() if end == "leave" else client.writer.write_eof()
        await until(lambda: not live.state.connections)
        assert len(live.hub) == 0 and live.log.forgotten
        client.leave()


async def test_nobody_has_to_wait_for_one_that_does_not_answer_its_close(live, monkeypatch):
    monkeypatch.setattr(sessions, "_CLOSING_WAIT_S", 0.05)
    client = await live.client()
    client.writer.write(frame(b"", BINARY))
    await until(lambda: not live.state.connections)
    client.leave()


async def test_a_slow_reader_is_closed_with_what_waits_for_it_dropped(live):
    client, other = await live.greeted(), await live.greeted()
    client.reader._transport.pause_reading()
    item = "x" * 50_000
    sent = 0
    while len(live.hub) == 2:
        live.add(item)
        sent += len(item)
        assert (await other.message())["id"] == item
        assert await other.kind() == "counts"
        assert sent < 50_000_000
    await until(lambda: len(live.state.connections) == 1)
    assert live.notes.counts["gateway_closed", "websocket", str(int(Closing.SLOW_READER))] == 1
    assert sent > UNSENT_SOCKET_BYTES_MAX
    client.leave()


async def test_one_that_never_reads_cannot_make_the_gateway_hold_pongs(live):
    client = await live.greeted()
    client.reader._transport.pause_reading()
    for _ in range(FRAMES_PER_S_MAX * 3):
        client.writer.write(frame(bytes(125), PING))
    await until(lambda: not live.state.connections)
    client.leave()


@pytest.mark.parametrize(
    ("bound", "value", "code"),
    [("HELLO_WAIT_MS_MAX", 0, Closing.NO_HELLO), ("PING_INTERVAL_MS", 0, None)],
)
async def test_a_silent_client_is_asked_and_closed(live, bound, value, code, monkeypatch):
    monkeypatch.setattr(sessions, bound, value)
    if code:
        client = await live.client()
        assert await client.closed() == code
        return
    client = await live.greeted()
    assert await client.frame() == (PING, b"")
    monkeypatch.setattr(sessions, "PONG_WAIT_MS_MAX", 0)
    client.writer.write(frame(b"", PONG))
    assert await client.frame() == (PING, b"")
    assert await client.closed() == Closing.NO_PONG


async def test_a_client_that_took_nothing_for_too_long_is_closed(live, monkeypatch):
    monkeypatch.setattr(sessions, "SLOW_READER_MS_MAX", 0)
    monkeypatch.setattr("clarion.gateway.sessions.UNSENT_SOCKET_BYTES_MAX", 100_000_000)
    client = await live.greeted()
    client.reader._transport.pause_reading()
    session = next(iter(live.door._sessions))
    session._transport.underlying_transport.set_write_buffer_limits(1_000)
    while not session._paused_s:
        live.add("x" * 100_000)
        await asyncio.sleep(0)
    await until(lambda: not live.state.connections)
    assert live.notes.counts["gateway_closed", "websocket", str(int(Closing.SLOW_READER))] == 1
    client.leave()
