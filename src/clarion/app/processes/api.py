"""The API process: serves HTTP requests over the journal and the stores."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import cast

import uvicorn
import uvloop
from starlette.types import ASGIApp

from clarion.app.config.settings import Config
from clarion.app.processes import gc_tuning, malloc
from clarion.app.processes.starts import this_start
from clarion.app.routes import ops
from clarion.app.routes.all_routes import routes
from clarion.app.wiring.parts import Identity, Parts
from clarion.control.schedules.timers import repair_timers
from clarion.domain.errors import DurabilityError, OperatorError, StoreRewound, StoreUnavailable
from clarion.domain.limits_processes import (
    CONNECTIONS_WAITING_SHARE,
    INTERPRETER_SWITCH_MS,
    SCHEDULE_REPAIR_MS,
    STOP_SHARE,
    TLS_CONNECTION_COST,
)
from clarion.domain.request_rate import RequestRate
from clarion.edge.arrivals import Arrivals
from clarion.edge.connections import Connections
from clarion.edge.forwarded import TrustedProxies, is_among, trusted_networks
from clarion.edge.listener import Listener
from clarion.edge.open_files import raise_open_files
from clarion.edge.protocol import BoundedHttp
from clarion.edge.server import BoundedServer, settings
from clarion.edge.tls.listener import TlsListener
from clarion.edge.tls.renewal import ServerTls
from clarion.identity.operator_keys import OPERATOR_KEY_FILE, operator_keys
from clarion.journal import topics
from clarion.ports.web import Route
from clarion.runtime.definition_refresh import keep_definitions_fresh
from clarion.runtime.enrollment import Enrollment
from clarion.ways_in.http.application import application
from clarion.ways_in.http.health_listener import HealthListener
from clarion.ways_in.http.known_quotas import KnownQuotas
from clarion.ways_in.http.origins import Origins

BACKLOG_GAUGE_S = 5


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises `OperatorError` when the port is taken."""
    uvloop.run(_serve(config))


async def _serve(config: Config) -> None:
    parts = await Parts.open(config, "api")
    parts.telemetry.follow_loop()
    gc_tuning.tune()
    malloc.return_large_blocks()
    sys.setswitchinterval(INTERPRETER_SWITCH_MS / 1000)
    try:
        await serve(parts)
    finally:
        await parts.close()


async def serve(parts: Parts) -> None:
    """Answer requests until SIGTERM or SIGINT. Raises `OperatorError` when the port is taken or a commit has failed, and
    `StoreRewound`."""
    config = parts.config
    failures: list[DurabilityError | OperatorError] = []
    enrollment = Enrollment(parts.store, this_start("api", os.environ, parts.clock).owner, parts.telemetry)
    await enrollment.begin()
    failed, identity = asyncio.Event(), Identity(parts, operator_keys(config, parts.telemetry))
    permitted = raise_open_files(parts.telemetry)
    arrivals = _arrivals(parts, permitted)
    connections = Connections(parts.telemetry, permitted, arrivals=arrivals)
    ops_routes = ops.routes(parts, connections)

    def fail(error: DurabilityError | OperatorError) -> None:
        failures.append(error)
        failed.set()

    app = _application(parts, identity, ops_routes, fail)
    tls = None if not _has_tls(config) else ServerTls(config.api.tls, parts.telemetry, parts.clock)
    server = _Server(
        uvicorn.Config(app, host=config.api.host, port=config.api.port, headers=hsts(config), **settings(connections)),
        parts,
        connections,
        arrivals,
        tls,
        _health(app, ops_routes, parts),
    )
    _check_host("api.host", config.api.host, config.api.port)
    jobs = (_refresh(parts), _gauge(parts), _repair(parts), identity.follow(), _stop_on(failed, server))
    beside = [asyncio.create_task(job) for job in (*jobs, _stay_enrolled(enrollment, fail))]
    if tls is not None:
        beside.append(asyncio.create_task(tls.keep_fresh()))
    try:
        await server.serve()
    except SystemExit:
        raise OperatorError(_taken(config)) from None
    finally:
        for job in beside:
            job.cancel()
    await identity.close()
    await enrollment.end()
    if failures and isinstance(failures[0], StoreRewound | OperatorError):
        raise failures[0]
    if failures:
        raise OperatorError("A commit failed, so nothing more was acknowledged; check the disk.")


def _check_host(setting: str, host: str, port: int) -> None:
    try:
        socket.getaddrinfo(host, port, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise OperatorError(f"Setting {setting}: {host} is no address of this machine: {error.strerror}.") from None


def _arrivals(parts: Parts, connections: int) -> Arrivals:
    """Return the bound of new connections of an API process that may have so many."""
    config = parts.config
    networks, limits = trusted_networks(config.api.trusted_proxies), config.api.limits
    cost = TLS_CONNECTION_COST if _has_tls(config) else 1
    per_s, burst = limits.connections_per_s, limits.connections_burst
    return Arrivals(
        RequestRate(max(1, per_s // cost), max(1, burst // cost)) if per_s else None,
        int(connections * CONNECTIONS_WAITING_SHARE),
        parts.telemetry,
        lambda address: is_among(address, networks),
        time.monotonic_ns,
    )


def _health(app: ASGIApp, ops: list[Route], parts: Parts) -> HealthListener | None:
    api = parts.config.api
    if not api.health_port:
        return None
    _check_host("api.health_host", api.health_host, api.health_port)
    return HealthListener(app, {route.path for route in ops}, api.health_host, api.health_port, parts.telemetry)


def _taken(config: Config) -> str:
    return f"Cannot listen on {config.api.host}:{config.api.port}: is it taken?"


def _has_tls(config: Config) -> bool:
    """Return whether the API has a certificate. Raises `OperatorError` for half of the settings."""
    tls = config.api.tls
    if tls.client_ca_file and not tls.certificate_file:
        raise OperatorError("Setting api.tls.client_ca_file: needs api.tls.certificate_file.")
    return bool(tls.certificate_file or tls.key_file)


def hsts(config: Config) -> list[tuple[str, str]]:
    """Return the header of all responses that makes browsers use https alone (RFC 6797), if they can."""
    urls = (config.listening_url, config.public_url)
    if not config.api.hsts_max_age_s or not any(url.startswith("https://") for url in urls):
        return []
    below = "; includeSubDomains" if config.api.hsts_subdomains else ""
    return [("strict-transport-security", f"max-age={config.api.hsts_max_age_s}{below}")]


def _application(
    parts: Parts, identity: Identity, ops: list[Route], on_durability_lost: Callable[[DurabilityError], None]
) -> ASGIApp:
    config = parts.config
    app = application(
        [*routes(parts), *ops],
        identity,
        parts.telemetry,
        api=config.api,
        quotas=KnownQuotas(parts.directory).of,
        on_durability_lost=on_durability_lost,
        origins=Origins(parts.directory, config.public_url),
        is_operator=identity.is_operator,
    )
    if config.api.trusted_proxies:
        return TrustedProxies(app, trusted_networks(config.api.trusted_proxies))
    return app


async def _stay_enrolled(enrollment: Enrollment, fail: Callable[[OperatorError], None]) -> None:
    try:
        await enrollment.keep(asyncio.Event())
    except OperatorError as error:
        fail(error)


async def _stop_on(failed: asyncio.Event, server: uvicorn.Server) -> None:
    await failed.wait()
    server.handle_exit(signal.SIGTERM, None)


class _Server(BoundedServer):
    """A server that logs when it is ready and stops on signals as the other processes do."""

    def __init__(
        self,
        config: uvicorn.Config,
        parts: Parts,
        connections: Connections,
        arrivals: Arrivals,
        tls: ServerTls | None,
        health: HealthListener | None,
    ) -> None:
        super().__init__(config, connections, parts.config.workers.drain_timeout_ms / 1000 * STOP_SHARE)
        self._parts = parts
        self._arrivals = arrivals
        self._tls = tls
        self._health = health
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
        config = self._parts.config
        await self._listen()
        if self._health is not None:
            await self._health.start()
            url = f"http://{config.api.health_host}:{config.api.health_port}"
            self._parts.telemetry.log("info", "health_ready", url=url)
        key = "configured" if config.operator_key else str(config.data_dir / OPERATOR_KEY_FILE)
        docs = f"{config.listening_url}/docs"
        self._parts.telemetry.log("info", "api_ready", docs=docs, operators_file=key)

    async def _listen(self) -> None:
        make = partial(BoundedHttp, self._connections, config=self.config, server_state=self.server_state, app_state={})
        tls, shared = self._tls, (make, self._parts.telemetry, self._arrivals)
        listener = Listener(*shared) if tls is None else TlsListener(tls, *shared)
        try:
            await listener.start(self.config.host, self.config.port)
        except OSError:
            raise OperatorError(_taken(self._parts.config)) from None
        self.servers = [cast("asyncio.Server", listener)]
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; health is answered until the responses under way have ended."""
        telemetry = self._parts.telemetry
        telemetry.log("info", "api_stopping", connections=len(self.server_state.connections))
        await super().shutdown(sockets)
        if self._health is not None:
            await self._health.stop()
        telemetry.log("info", "api_stopped")


async def _refresh(parts: Parts) -> None:
    await keep_definitions_fresh(parts.directory, parts.telemetry, asyncio.Event())


async def _gauge(parts: Parts) -> None:
    while True:
        with contextlib.suppress(StoreUnavailable):  # the next round retries
            for group, events in (await parts.store.backlog_of(topics.GROUP_TOPICS)).items():
                parts.telemetry.metrics.backlog(group, events)
        await asyncio.sleep(BACKLOG_GAUGE_S)


async def _repair(parts: Parts) -> None:
    while True:
        try:
            await repair_timers(parts.control, parts.store, parts.clock.now_ms())
        except Exception as error:  # noqa: BLE001 - requests are still answered, and the next round retries
            parts.telemetry.log("error", "schedules_unrepaired", error=repr(error))
        await asyncio.sleep(SCHEDULE_REPAIR_MS / 1000)
