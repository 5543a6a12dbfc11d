"""The HTTP server of a process: it logs when it is ready, and stops on signals as the other processes do."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import NamedTuple, cast

import uvicorn

from clarion.app.config.settings import Config
from clarion.app.wiring.parts import Parts
from clarion.domain.errors import OperatorError
from clarion.domain.limits_processes import CONNECTIONS_WAITING_SHARE, STOP_SHARE, TLS_CONNECTION_COST
from clarion.domain.request_rate import RequestRate
from clarion.edge.arrivals import Arrivals
from clarion.edge.connections import Connections
from clarion.edge.forwarded import is_among, trusted_networks
from clarion.edge.listener import Listener
from clarion.edge.server import BoundedServer
from clarion.edge.tls.listener import TlsListener
from clarion.edge.tls.renewal import ServerTls
from clarion.runtime.enrollment import Enrollment
from clarion.ways_in.http.health_listener import HealthListener


def check_host(setting: str, host: str, port: int) -> None:
    """Raise `OperatorError` when the host that a setting names is no address of this machine."""
    try:
        socket.getaddrinfo(host, port, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise OperatorError(f"Setting {setting}: {host} is no address of this machine: {error.strerror}.") from None


def arrivals_of(parts: Parts, connections: int) -> Arrivals:
    """Return the bound of new connections of a process that may have so many."""
    config = parts.config
    networks, limits = trusted_networks(config.api.trusted_proxies), config.api.limits
    cost = TLS_CONNECTION_COST if has_tls(config) else 1
    per_s, burst = limits.connections_per_s, limits.connections_burst
    return Arrivals(
        RequestRate(max(1, per_s // cost), max(1, burst // cost)) if per_s else None,
        int(connections * CONNECTIONS_WAITING_SHARE),
        parts.telemetry,
        lambda address: is_among(address, networks),
        time.monotonic_ns,
    )


def taken(host: str, port: int) -> str:
    """Return the sentence for an address that cannot be listened on."""
    return f"Cannot listen on {host}:{port}: is it taken?"


def has_tls(config: Config) -> bool:
    """Return whether the API has a certificate. Raises `OperatorError` for half of the settings."""
    tls = config.api.tls
    if tls.client_ca_file and not tls.certificate_file:
        raise OperatorError("Setting api.tls.client_ca_file: needs api.tls.certificate_file.")
    return bool(tls.certificate_file or tls.key_file)


class Served(NamedTuple):
    """What a process serves: `role` names it in log lines, `ready` is what the first of them says. `make` makes the protocol of a
    connection from uvicorn's options; `on_stop` is called when the server stops, before connections are ended."""

    role: str
    ready: dict[str, str]
    make: Callable[..., asyncio.Protocol]
    connections: Connections
    arrivals: Arrivals
    tls: ServerTls | None = None
    health: HealthListener | None = None
    on_stop: Callable[[], object] = lambda: None


class HttpServer(BoundedServer):
    """A server that logs when it is ready and stops on signals as the other processes do."""

    def __init__(self, config: uvicorn.Config, parts: Parts, served: Served) -> None:
        super().__init__(config, served.connections, parts.config.workers.drain_timeout_ms / 1000 * STOP_SHARE)
        self._parts = parts
        self._served = served
        self._health = served.health
        self._exiting = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait for the stop, and update the `date` header at each whole second, when other timers wake the process,
        too."""
        loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            if self._health is not None:
                await self._health.tick()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1 - loop.time() % 1):
                    await self._exiting.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop as uvicorn does, without waiting for its next tick."""
        super().handle_exit(sig, frame)
        self._exiting.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT, and do not raise them again after the stop: a requested stop is a success."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        config = self._parts.config
        await self._listen()
        if self._health is not None:
            await self._health.start()
            url = f"http://{config.api.health_host}:{config.api.health_port}"
            self._parts.telemetry.log("info", "health_ready", url=url)
        self._parts.telemetry.log("info", f"{self._served.role}_ready", **self._served.ready)

    async def _listen(self) -> None:
        make = partial(self._served.make, config=self.config, server_state=self.server_state, app_state={})
        tls, shared = self._served.tls, (make, self._parts.telemetry, self._served.arrivals)
        listener = Listener(*shared) if tls is None else TlsListener(tls, *shared)
        try:
            await listener.start(self.config.host, self.config.port)
        except OSError:
            raise OperatorError(taken(self.config.host, self.config.port)) from None
        self.servers = [cast("asyncio.Server", listener)]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; health is answered until the responses under way have ended."""
        telemetry = self._parts.telemetry
        telemetry.log("info", f"{self._served.role}_stopping", connections=len(self.server_state.connections))
        self._served.on_stop()
        await super().shutdown(sockets)
        if self._health is not None:
            await self._health.stop()
        telemetry.log("info", f"{self._served.role}_stopped")


async def stay_enrolled(enrollment: Enrollment, fail: Callable[[OperatorError], None]) -> None:
    """Renew an enrollment until the task is cancelled; `fail` is called when this build can go on no more."""
    try:
        await enrollment.keep(asyncio.Event())
    except OperatorError as error:
        fail(error)


async def stop_on(failed: asyncio.Event, server: uvicorn.Server) -> None:
    """Stop a server once something has failed."""
    await failed.wait()
    server.handle_exit(signal.SIGTERM, None)
