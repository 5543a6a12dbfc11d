"""Event streams: the same messages, the same bounds."""

import asyncio
import json

import pytest

from clarion.domain.limits_gateway import SOCKETS_PER_USER_MAX
from clarion.domain.token_key import TokenKey
from clarion.edge import deadlines
from clarion.gateway import streams
from clarion.gateway.codes import Closing
from tests.live.gateways import PAGE
from tests.security.served import until

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


class Reader:
    """A client of one stream."""

    def __init__(self, client):
        self._client = client
        self.head = b""
        self._rest = b""

    async def event(self):
        """Return the fields of the next event; a comment is an event of one field."""
        while b"\n\n" not in self._rest:
            size = int((await asyncio.wait_for(self._client.reader.readline(), 5)).strip(), 16)
            self._rest += (await self._client.reader.readexactly(size + 2))[:-2]
        event, _, self._rest = self._rest.partition(b"\n\n")
        return dict(line.split(": ", 1) for line in event.decode().split("\n"))

    async def message(self):
        return json.loads((await self.event())["data"])


async def asked(live, query="", *headers, method="GET"):
    client = await live.connect()
    head = [f"{method} /v1/live/events{query} HTTP/1.1", "host: a", *headers, "", ""]
    client.writer.write("\r\n".join(head).encode())
    reader = Reader(client)
    reader.head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 5)
    return reader, client


def bearer(live, **options):
    return f"authorization: Bearer {live.token(**options)}"


async def test_a_stream_has_the_messages_of_a_socket_and_goes_on_by_its_last_event(live):
    reader, client = await asked(live, f"?ticket={live.ticket()}")
    assert b"\r\ncontent-type: text/event-stream; charset=utf-8\r\n" in reader.head
    first = await reader.event()
    assert first["event"] == "welcome" and first["id"] == json.loads(first["data"])["position"]
    assert (await reader.message())["type"] == "counts"
    live.add("a")
    last = await reader.event()
    assert json.loads(last["data"])["id"] == "a"
    client.leave()
    await until(lambda: not len(live.hub))
    live.add("b")
    for query, header in ((f"?position={last['id']}", ""), ("", f"last-event-id: {last['id']}")):
        reader, _ = await asked(live, query, bearer(live), *filter(None, [header]))
        assert (await reader.message())["recovered"] is True
        assert (await reader.message())["id"] == "b"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?ticket=x", 401),
        ("?ticket=", 401),
        ("?token={token}", 400),
        ("?ticket={ticket}&ticket={ticket}", 400),
        ("?ticket={ticket}&x=1", 400),
        ("?ticket={ticket}&position=nowhere", 422),
    ],
)
async def test_what_is_no_stream_is_a_problem(live, query, status):
    reader, _ = await asked(live, query.format(token=live.token(), ticket=live.ticket()))
    assert reader.head.startswith(b"HTTP/1.1 %d " % status), reader.head
    assert len(live.hub) == 0


async def test_origins_are_checked(live):
    reader, _ = await asked(live, "", bearer(live), "origin: https://evil.example")
    assert reader.head.startswith(b"HTTP/1.1 403 ")
    reader, _ = await asked(live, "", bearer(live), f"origin: {PAGE}")
    assert f"access-control-allow-origin: {PAGE}\r\n".encode() in reader.head
    assert b"\r\nvary: Origin\r\n" in reader.head


async def test_a_user_has_so_many_streams_and_sockets(live):
    for _ in range(SOCKETS_PER_USER_MAX - 1):
        await live.greeted()
    await asked(live, "", bearer(live))
    reader, _ = await asked(live, "", bearer(live))
    assert reader.head.startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("end", ["stop", "revoked"])
async def test_the_last_event_says_why(live, end, monkeypatch):
    monkeypatch.setattr("clarion.gateway.door.REVOKED_CHECK_MS", 0)
    monkeypatch.setattr("clarion.gateway.door._TICK_S", 0.01)
    reader, client = await asked(live, "", bearer(live))
    assert [(await reader.message())["type"] for _ in range(2)] == ["welcome", "counts"]
    if end == "stop":
        live.hub.drain()
        goodbye = await reader.message()
        assert goodbye["type"] == "goodbye"
        assert await reader.event() == {"retry": str(goodbye["retry_after_ms"])}
        code = Closing.GOING_AWAY
    else:
        live.key, code = TokenKey(1), Closing.UNAUTHORIZED
    assert (await reader.message())["code"] == code
    await client.reader.readline()
    await until(lambda: not len(live.hub))
    assert live.notes.counts["gateway_closed", "events", str(int(code))] == 1


async def test_a_silent_stream_has_comments(live, monkeypatch):
    monkeypatch.setattr(streams, "PING_INTERVAL_MS", 10)
    reader, _ = await asked(live, "", bearer(live))
    await reader.event()
    await reader.event()
    assert await reader.event() == {"": "still here"}


async def test_a_client_that_leaves_is_forgotten(live):
    _, client = await asked(live, "", bearer(live))
    await until(lambda: len(live.hub) == 1)
    client.leave()
    await until(lambda: not len(live.hub) and not live.state.connections)
    assert live.notes.counts["gateway_closed", "events", "client"] == 1


async def test_a_stream_that_is_not_read_is_closed(live, monkeypatch):
    monkeypatch.setattr(deadlines, "RESPONSE_WAIT_MS_MAX", 100)
    _, client = await asked(live, "", bearer(live))
    await until(lambda: len(live.hub) == 1)
    client.reader._transport.pause_reading()
    sent = 0
    while len(live.hub):
        live.add("x" * 50_000)
        sent += 50_000
        await asyncio.sleep(0.002)
        assert sent < 50_000_000
    await until(lambda: not live.state.connections)
    assert live.notes.counts["gateway_closed", "events", str(int(Closing.SLOW_READER))] == 1


async def test_what_a_browser_has_seen_since_goes_before_the_address_that_it_comes_back_to(live):
    for name in "abc":
        live.add(name)
    reader, _ = await asked(live, "?position=epoch-01.1.0", bearer(live), "last-event-id: epoch-01.2.0")
    assert (await reader.message())["recovered"] is True
    assert (await reader.message())["id"] == "c"
