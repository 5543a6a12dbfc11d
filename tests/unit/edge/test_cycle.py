"""Responses are written whole, and never with a header that means something else to a reader."""

import asyncio
import logging

import pytest

from clarion.edge.cycle import Cycle
from clarion.edge.output import Output


class Flow:
    write_paused = False


class Wire:
    def __init__(self):
        self.written = []
        self.closed = 0

    def write(self, data):
        self.written.append(data)

    def is_closing(self):
        return self.closed > 0

    def close(self):
        self.closed += 1


def made(method="GET", *, keep_alive=True):
    wire = Wire()
    cycle = Cycle(
        scope={"type": "http", "method": method}, transport=Output(wire, wire.close), flow=Flow(),
        logger=logging.getLogger("test"), access_logger=logging.getLogger("test"), access_log=False,
        default_headers=[(b"date", b"now")], message_event=asyncio.Event(), expect_100_continue=False,
        keep_alive=keep_alive, on_response=lambda: None,
    )  # fmt: skip
    return wire, cycle


def start(*headers, status=200):
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(data=b"", **more):
    return {"type": "http.response.body", "body": data, **more}


async def test_head_and_body_are_one_write():
    wire, cycle = made()
    await cycle.send(start((b"content-length", b"2"), (b"x-a", b"1")))
    assert wire.written == []
    await cycle.send(body(b"ok"))
    assert wire.written == [b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\nx-a: 1\r\n\r\nok"]
    assert (cycle.response_complete, wire.closed) == (True, 0)


async def test_a_head_has_no_body():
    wire, cycle = made("HEAD")
    await cycle.send(start((b"content-length", b"2")))
    await cycle.send(body(b"ok"))
    assert wire.written[0].endswith(b"content-length: 2\r\n\r\n")


async def test_a_connection_is_closed_where_the_request_or_the_response_says_so():
    for keep_alive, headers in (
        (False, ()),
        (True, ((b"connection", b"close"),)),
        (False, ((b"connection", b"close"),)),
    ):
        wire, cycle = made(keep_alive=keep_alive)
        await cycle.send(start((b"content-length", b"0"), *headers))
        await cycle.send(body())
        assert wire.written[0].count(b"connection: close\r\n") == 1
        assert wire.closed == 1


async def test_a_response_without_a_length_is_written_as_before():
    wire, cycle = made()
    await cycle.send(start(status=204))
    await cycle.send(body())
    assert b"".join(wire.written) == b"HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n"
    wire, cycle = made()
    await cycle.send(start())
    await cycle.send(body(b"one", more_body=True))
    await cycle.send(body(b""))
    assert b"".join(wire.written).endswith(b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    "header",
    [(b"x\r\ny", b"1"), (b"", b"1"), (b"x:y", b"1"), (b"x", b"1\r\nset-cookie: a=b"), (b"x", b"\x00"), (b"x", b"1\n")],
)
async def test_a_header_cannot_add_another(header):
    wire, cycle = made()
    with pytest.raises(RuntimeError, match="header"):
        await cycle.send(start((b"content-length", b"0"), header))
    assert wire.written == []


@pytest.mark.parametrize("data", [b"o", b"okay"])
async def test_a_body_of_another_length_is_refused(data):
    wire, cycle = made()
    await cycle.send(start((b"content-length", b"2")))
    with pytest.raises(RuntimeError, match="content-length"):
        await cycle.send(body(data))
    assert wire.written == []


async def test_parts_out_of_order_are_refused():
    _, cycle = made()
    with pytest.raises(RuntimeError):
        await cycle.send(body(b"ok"))
    await cycle.send(start((b"content-length", b"0")))
    with pytest.raises(RuntimeError):
        await cycle.send(start((b"content-length", b"0")))
    await cycle.send(body())
    with pytest.raises(RuntimeError):
        await cycle.send(body())


async def test_nothing_is_written_to_a_client_that_has_gone():
    wire, cycle = made()
    cycle.disconnected = True
    await cycle.send(start((b"content-length", b"0")))
    await cycle.send(body())
    assert wire.written == []
