"""Writes of one iteration of the loop are sent together, in order, and bounded."""

import asyncio

from clarion.app.http.write_coalescing import HELD_BYTES_MAX, Coalesced


class Wire:
    """A transport that records its calls."""

    def __init__(self):
        self.calls = []
        self.closing = False

    def write(self, data):
        self.calls.append(bytes(data))

    def writelines(self, pieces):
        self.calls.append(b"".join(pieces))

    def is_closing(self):
        return self.closing

    def close(self):
        self.calls.append("closed")
        self.closing = True

    def get_extra_info(self, name):
        return f"info of {name}"


def joined():
    wire = Wire()
    return wire, Coalesced(wire, asyncio.get_running_loop())


async def test_the_head_and_the_body_of_an_answer_leave_in_one_write():
    wire, transport = joined()
    transport.write(b"head ")
    transport.write(b"body")
    assert wire.calls == []
    await asyncio.sleep(0)
    assert wire.calls == [b"head body"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert wire.calls == [b"head body", b"next"]


async def test_a_connection_is_closed_after_pending_writes():
    wire, transport = joined()
    transport.write(b"the end")
    transport.close()
    await asyncio.sleep(0)
    assert wire.calls == [b"the end", "closed"]


async def test_nothing_is_written_after_a_disconnect():
    wire, transport = joined()
    transport.write(b"too late")
    wire.closing = True
    await asyncio.sleep(0)
    assert wire.calls == []


async def test_held_back_writes_are_bounded():
    wire, transport = joined()
    for _ in range(10):
        transport.write(bytes(HELD_BYTES_MAX // 4))
    assert [len(data) for data in wire.calls] == [HELD_BYTES_MAX // 4 * 5] * 2
    await asyncio.sleep(0)
    assert sum(len(data) for data in wire.calls) == HELD_BYTES_MAX // 4 * 10


async def test_a_large_body_is_not_copied():
    wire, transport = joined()
    wire.writelines = lambda pieces: wire.calls.append(list(pieces))
    body = bytes(HELD_BYTES_MAX + 1)
    transport.write(b"head")
    transport.write(body)
    (pieces,) = wire.calls
    assert pieces[1] is body
    assert transport.written_bytes == len(body) + 4


async def test_other_attributes_are_those_of_the_transport():
    _, transport = joined()
    assert transport.get_extra_info("peername") == "info of peername"
    assert not transport.is_closing()
