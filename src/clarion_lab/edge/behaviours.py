"""How an attacker behaves on its connections. Each behaviour goes on until the peer's time is over."""

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, NamedTuple

from clarion_lab.edge.wire import unverified

REOPEN_S: Final = 0.5
"""Seconds after which a connection that the server closed is opened again."""
CONNECT_S_MAX: Final = 5.0
ANSWER_S_MAX: Final = 30.0
RENEGOTIATE_S: Final = 0.02
PIECE_BYTES: Final = 256 * 1024
_TCP_INFO_ACKED: Final = 120
"""Position of `tcpi_bytes_acked` in the `tcp_info` of Linux."""
_TCP_ESTABLISHED: Final = 1
_SYN: Final = 1
"""The kernel counts the acknowledgement of the connection itself as one byte."""
_LINGER_NONE: Final = struct.pack("ii", 1, 0)
CLOSED: Final = 0
"""The status of a response that did not come because the connection was closed."""

Behaviour = Callable[["Peer"], Awaitable[None]]
Talk = Callable[[socket.socket], Awaitable[None]]


class Lanes(NamedTuple):
    """Connections side by side. Each is opened again, after a pause, when it has ended. `unit` is the size in bytes of
    one request, 0 when requests are not counted by bytes; `receive_bytes` the size of its buffer, 0 for the usual one.
    Every other connection is ended by a reset if `reset`."""

    number: int
    unit: int = 0
    pause_s: float = REOPEN_S
    receive_bytes: int = 0
    reset: bool = False


class Peer:
    """An attacker at one address. `landed` counts requests and bytes that the server's machine has acknowledged,
    `connections` of which it acknowledged something, and those that the server `closed`; `statuses` counts responses
    by status."""

    def __init__(self, host: str, port: int, address: str, seconds: float) -> None:
        self.server = (host, port)
        self.address = address
        self._until_s = time.monotonic() + seconds
        self.landed: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()

    @property
    def left_s(self) -> float:
        """Return the seconds that are left, at least 0."""
        return max(0.0, self._until_s - time.monotonic())

    async def run(self, lanes: Lanes, talk: Talk) -> None:
        """Let each of the connections talk until the time is over. What breaks a connection is the server's right."""

        async def again() -> None:
            reset = False
            while self.left_s:
                with contextlib.suppress(OSError, TimeoutError):
                    await self._connect(lanes, talk, reset=reset)
                reset = lanes.reset and not reset
                await asyncio.sleep(min(lanes.pause_s, self.left_s))

        await asyncio.gather(*(again() for _ in range(lanes.number)))

    async def _connect(self, lanes: Lanes, talk: Talk, *, reset: bool) -> None:
        with socket.socket() as one:
            one.setblocking(False)
            if lanes.receive_bytes:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, lanes.receive_bytes)
            if reset:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
            one.bind((self.address, 0))
            async with asyncio.timeout(CONNECT_S_MAX):
                await asyncio.get_running_loop().sock_connect(one, self.server)
            try:
                await talk(one)
            finally:
                acked = acked_bytes(one)
                self.landed["connections"] += acked > 0
                self.landed["closed"] += not is_open(one)
                self.landed["bytes"] += acked
                if lanes.unit:
                    self.landed["requests"] += acked // lanes.unit

    async def send(self, one: socket.socket, data: bytes) -> bool:
        """Send data, as long as there is time. Return whether all of it was taken."""
        try:
            async with asyncio.timeout(self.left_s):
                await asyncio.get_running_loop().sock_sendall(one, data)
        except TimeoutError:
            return False
        return True

    async def stay(self, one: socket.socket) -> None:
        """Wait until the time is over or the server has closed the connection, and read nothing."""
        while self.left_s and is_open(one):  # noqa: ASYNC110 - an event would need a read
            await asyncio.sleep(min(REOPEN_S, self.left_s))


def acked_bytes(one: socket.socket) -> int:
    """Return the bytes of a connection that the other side's machine has acknowledged; 0 where the system does not
    report them."""
    if not sys.platform.startswith("linux"):
        return 0
    raw = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_ACKED + 8)
    return max(0, int.from_bytes(raw[_TCP_INFO_ACKED:], sys.byteorder) - _SYN)


def is_open(one: socket.socket) -> bool:
    """Return whether the other side has not closed a connection, as far as can be seen without reading."""
    if not sys.platform.startswith("linux"):
        return True
    return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_ESTABLISHED


def hold(connections: int, sent: bytes, unit: int = 0) -> Behaviour:
    """Open connections, send something, read nothing, and stay."""

    async def behave(peer: Peer) -> None:
        async def talk(one: socket.socket) -> None:
            if await peer.send(one, sent):
                await peer.stay(one)

        await peer.run(Lanes(connections, unit), talk)

    return behave


def burst(connections: int, sent: bytes, unit: int, stay_s: float) -> Behaviour:
    """Open connections, send something, read nothing, close or reset them a moment later, and begin again."""

    async def behave(peer: Peer) -> None:
        async def talk(one: socket.socket) -> None:
            await peer.send(one, sent)
            await asyncio.sleep(stay_s)

        await peer.run(Lanes(connections, unit, pause_s=0, reset=True), talk)

    return behave


def trickle(connections: int, head: bytes, piece: bytes, every_s: float) -> Behaviour:
    """Send a head, then a piece at a time."""

    async def behave(peer: Peer) -> None:
        async def talk(one: socket.socket) -> None:
            going = await peer.send(one, head)
            while going and peer.left_s:
                await asyncio.sleep(every_s)
                going = await peer.send(one, piece)
                peer.landed["pieces"] += going

        await peer.run(Lanes(connections), talk)

    return behave


def sip(connections: int, sent: bytes) -> Behaviour:
    """Ask for a large response and read it a byte a second, through the smallest buffer."""

    async def behave(peer: Peer) -> None:
        async def talk(one: socket.socket) -> None:
            await peer.send(one, sent)
            while peer.left_s:
                async with asyncio.timeout(peer.left_s):
                    if not await asyncio.get_running_loop().sock_recv(one, 1):
                        return
                    peer.landed["read"] += 1
                    await asyncio.sleep(1)

        await peer.run(Lanes(connections, len(sent), receive_bytes=1), talk)

    return behave


def ask(connections: int, requests: Callable[[], Iterator[bytes]], *, stay: bool = True) -> Behaviour:
    """Make requests one after the other and read each response; with `stay` on connections that are kept. A request
    has landed when it was answered, or refused by closing its connection."""

    async def behave(peer: Peer) -> None:
        source = requests()

        async def talk(one: socket.socket) -> None:
            while peer.left_s:
                async with asyncio.timeout(min(peer.left_s, ANSWER_S_MAX)):
                    status, ends = await _asked(one, next(source))
                peer.statuses[status] += 1
                peer.landed["requests"] += 1
                if ends or not stay:
                    return

        await peer.run(Lanes(connections, pause_s=0), talk)

    return behave


async def _asked(one: socket.socket, request: bytes) -> tuple[int, bool]:
    """Return the status of the response to a request, and whether the connection ends with it. A response may come
    before the whole request is sent."""
    sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(one, request))
    try:
        status, ends = await _answer(one)
        return status, ends or not sending.done()
    except ConnectionError:
        return CLOSED, True
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _answer(one: socket.socket) -> tuple[int, bool]:
    loop = asyncio.get_running_loop()
    buffer = b""
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        piece = await loop.sock_recv(one, PIECE_BYTES)
        if not piece:
            return CLOSED, True
        buffer += piece
    head = buffer[:end].lower()
    status = int(head[9:12]) if head.startswith(b"http/1.1 ") and head[9:12].isdigit() else CLOSED
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0].strip()
    left = (int(length) if length.isdigit() else 0) - (len(buffer) - end - 4)
    while left > 0:
        piece = await loop.sock_recv(one, min(left, PIECE_BYTES))
        if not piece:
            return status, True
        left -= len(piece)
    return status, b"connection: close" in head


def shake(connections: int) -> Behaviour:
    """Make TLS handshakes, which cost the server more than the client, and close the connection after each."""

    async def behave(peer: Peer) -> None:
        context = unverified()

        async def talk(one: socket.socket) -> None:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing)
            while peer.left_s:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    await peer.send(one, outgoing.read())
                    async with asyncio.timeout(peer.left_s):
                        received = await asyncio.get_running_loop().sock_recv(one, PIECE_BYTES)
                    if not received:
                        return
                    incoming.write(received)
                else:
                    await peer.send(one, outgoing.read())
                    peer.landed["handshakes"] += 1
                    return

        await peer.run(Lanes(connections, pause_s=0), talk)

    return behave


def renegotiate(connections: int) -> Behaviour:
    """Ask for handshake after handshake on one connection, as TLS 1.2 permits (RFC 5246, 7.4.1.1), by the program
    `openssl`, as Python's `ssl` cannot. A server has to refuse."""

    async def behave(peer: Peer) -> None:
        host, port = peer.server

        async def talk(_one: socket.socket) -> None:
            words = ("s_client", "-connect", f"{host}:{port}", "-bind", peer.address, "-tls1_2")
            client = await asyncio.create_subprocess_exec("openssl", *words, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL)
            try:
                async with asyncio.timeout(peer.left_s):
                    while client.returncode is None and client.stdin is not None and not client.stdin.is_closing():
                        client.stdin.write(b"R\n")
                        await client.stdin.drain()
                        peer.landed["asked"] += 1
                        await asyncio.sleep(RENEGOTIATE_S)
            finally:
                if client.returncode is None:
                    client.kill()
                await client.wait()

        await peer.run(Lanes(connections), talk)

    return behave
