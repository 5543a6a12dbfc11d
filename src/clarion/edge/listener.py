"""Accepts connections. uvloop takes one of them in each turn of the loop, so that where turns are long new clients would
wait in the system's queue behind those of a flood."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from clarion.domain.limits_processes import ACCEPT_PAUSE_MS, ACCEPTS_PER_TURN_MAX
from clarion.edge.arrivals import Arrivals
from clarion.ports.telemetry import Telemetry

_BACKLOG: Final = 2_048


class Listener:
    """The listening sockets of an address. It has the methods of `asyncio.Server` that uvicorn calls."""

    def __init__(self, make: Callable[[], asyncio.Protocol], telemetry: Telemetry, arrivals: Arrivals) -> None:
        """`make` makes the protocol of a connection."""
        self._make = make
        self._arrivals = arrivals
        self._telemetry = telemetry
        self._accepting: list[asyncio.Task[None]] = []
        self._beginning: set[asyncio.Task[None]] = set()
        self.sockets: list[socket.socket] = []

    async def start(self, host: str, port: int) -> None:
        """Listen on all addresses of a host. Raises `OSError`."""
        self.sockets = await listening_sockets(host, port)
        self._accepting = [asyncio.create_task(self._accept(one)) for one in self.sockets]

    def close(self) -> None:
        """Accept no more."""
        for task in self._accepting:
            task.cancel()
        self._arrivals.close()
        for one in self.sockets:
            one.close()

    async def wait_closed(self) -> None:
        """Wait until nothing is accepted any more."""
        await asyncio.gather(*self._accepting, *self._beginning, return_exceptions=True)

    async def _accept(self, listening: socket.socket) -> None:
        loop, in_turn = asyncio.get_running_loop(), 0
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as error:
                self._telemetry.log("error", "connection_not_accepted", error=str(error))
                await asyncio.sleep(ACCEPT_PAUSE_MS / 1000)
                continue
            self._arrivals.arrive(connection, address, self._start)
            in_turn += 1
            if in_turn >= ACCEPTS_PER_TURN_MAX:
                in_turn = 0
                await asyncio.sleep(0)  # an accept that need not wait does not yield
            await self._arrivals.room()

    def _start(self, connection: socket.socket, peer: str) -> None:
        beginning = asyncio.create_task(self._begin(connection))
        self._beginning.add(beginning)
        beginning.add_done_callback(self._beginning.discard)

    async def _begin(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(self._make, connection)
        except OSError:
            connection.close()  # its client has gone


async def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on all addresses of a host. Raises `OSError`."""
    loop, sockets = asyncio.get_running_loop(), list[socket.socket]()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, address in dict.fromkeys((one[0], one[4]) for one in found):
            sockets.append(_listening(family, address))
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets


def _listening(family: int, address: tuple[object, ...]) -> socket.socket:
    one = socket.socket(family, socket.SOCK_STREAM)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        one.listen(_BACKLOG)
    except OSError:
        one.close()
        raise
    return one
