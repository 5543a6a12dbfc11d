"""What is written in one turn of the loop leaves together, in its order, and bounded."""

import asyncio

from clarion.app.http.coalescing import HELD_BYTES_MAX, Coalesced


class Wire:
    """A transport that keeps what it is told."""

    def __init__(self):
        self.told = []
        self.closing = False

    def write(self, data):
        self.told.append(bytes(data))

    def is_closing(self):
        return self.closing

    def close(self):
        self.told.append("closed")
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
    assert wire.told == []
    await asyncio.sleep(0)
    assert wire.told == [b"head body"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert wire.told == [b"head body", b"next"]


async def test_a_connection_is_closed_after_what_was_written():
    wire, transport = joined()
    transport.write(b"the end")
    transport.close()
    await asyncio.sleep(0)
    assert wire.told == [b"the end", "closed"]


async def test_nothing_is_written_to_who_has_hung_up():
    wire, transport = joined()
    transport.write(b"too late")
    wire.closing = True
    await asyncio.sleep(0)
    assert wire.told == []


async def test_what_is_held_back_is_bounded():
    wire, transport = joined()
    for _ in range(10):
        transport.write(bytes(HELD_BYTES_MAX // 4))
    assert [len(data) for data in wire.told] == [HELD_BYTES_MAX // 4 * 5] * 2
    await asyncio.sleep(0)
    assert sum(len(data) for data in wire.told) == HELD_BYTES_MAX // 4 * 10


async def test_all_else_is_the_transports_own():
    _, transport = joined()
    assert transport.get_extra_info("peername") == "info of peername"
    assert not transport.is_closing()
