"""The client of the rigs reads frames however they are cut."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion_lab.sockets import centrifugo
from clarion_lab.sockets.page import CLOSE, PING, PONG, Page, hello, masked

HEAD = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


class Wire(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written, self.aborted = [], False

    def write(self, data):
        self.written.append(bytes(data))

    def abort(self):
        self.aborted = True


def frame(payload, operation=1):
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 65_536:
        length = b"\x7e" + size.to_bytes(2)
    else:
        length = b"\x7f" + size.to_bytes(8)
    return bytes([0x80 | operation]) + length + payload


def opened(position=None):
    heard, wire = [], Wire()
    page = Page(hello("token", position), lambda _page, payload: heard.append(payload), lambda _page: None)
    page.connection_made(wire)
    return page, wire, heard


@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.integers(1, 80), min_size=1))
def test_frames_are_whole_wherever_they_are_cut(payloads, cuts):
    page, _, heard = opened()
    data, at, turn = HEAD + b"".join(map(frame, payloads)), 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        page.data_received(data[at : at + size])
        at, turn = at + size, turn + 1
    assert heard == payloads


def test_long_frames_are_read():
    page, _, heard = opened()
    page.data_received(HEAD + frame(b"x" * 70_000))
    assert heard == [b"x" * 70_000]


@pytest.mark.parametrize(("position", "has_it"), [(None, False), ("p", True)])
def test_the_hello_follows_the_handshake(position, has_it):
    _, wire, _ = opened(position)
    head, _, hello = wire.written[0].partition(b"\r\n\r\n")
    assert head.startswith(b"GET /v1/live HTTP/1.1")
    assert ("position" in json.loads(hello[6 if len(hello) <= 131 else 8 :])) is has_it


def test_a_ping_is_answered_and_a_close_ends_it():
    page, wire, _ = opened()
    page.data_received(HEAD + frame(b"p", PING))
    assert wire.written[-1] == masked(b"p", PONG)
    page.data_received(frame(b"", CLOSE))
    assert wire.aborted


def test_a_refused_handshake_ends_it():
    page, wire, heard = opened()
    page.data_received(b"HTTP/1.1 429 Too Many Requests\r\n\r\n" + frame(b"x"))
    assert wire.aborted and heard == []


def test_nothing_is_read_after_a_cut():
    page, _, heard = opened()
    page.data_received(HEAD)
    page._heard = lambda page, payload: (heard.append(payload), page.cut())
    page.data_received(frame(b"a") + frame(b"b"))
    assert heard == [b"a"]


def test_messages_of_centrifugo_are_read_line_by_line():
    text = b'{"id":1,"connect":{"client":"c"}}\n{"id":2,"subscribe":{}}\n{}\n'
    text += b'{"push":{"channel":"a","pub":{"data":{"type":"item","sent_ns":7}}}}\n'
    found = list(centrifugo.messages(text))
    assert [one.is_ping for one in found] == [False, False, True, False]
    assert found[1].subscribe == {} and found[3].push.pub.data.sent_ns == 7
    assert b'"subscribe":{"channel":"ada"}' in centrifugo.hello("ada")
