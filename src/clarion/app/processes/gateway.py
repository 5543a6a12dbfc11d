"""The gateway process: users hear of their inbox at once, over WebSocket and server-sent events."""

import asyncio
import os
from functools import partial

import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from clarion.app.config.settings import Config
from clarion.app.processes import gc_tuning
from clarion.app.processes.http_server import (
    HttpServer,
    Served,
    arrivals_of,
    check_host,
    has_tls,
    stay_enrolled,
    stop_on,
    taken,
)
from clarion.app.processes.starts import this_start
from clarion.app.routes import ops
from clarion.app.wiring.parts import Parts, identity_of
from clarion.domain.errors import CallerError, OperatorError, Overloaded, StoreUnavailable
from clarion.domain.inbox import ChangedInboxes
from clarion.edge.arrivals import Arrivals
from clarion.edge.connections import Connections
from clarion.edge.forwarded import Forwarded, TrustedProxies, is_among, trusted_networks
from clarion.edge.open_files import raise_open_files
from clarion.edge.server import settings
from clarion.edge.tls.renewal import ServerTls
from clarion.edge.upgrades import UpgradableHttp
from clarion.gateway.door import Checks, Door
from clarion.gateway.feed import InboxNews
from clarion.gateway.hub import Hub
from clarion.gateway.presence import PresenceKeeper
from clarion.gateway.streams import STREAM_PATH, EventStreams
from clarion.identity.operator_keys import operator_keys
from clarion.identity.tickets import Tickets
from clarion.identity.user_tokens import TokenClaims, UserTokens, check_generation
from clarion.runtime.definition_refresh import keep_definitions_fresh
from clarion.runtime.enrollment import Enrollment
from clarion.ways_in.http.application import application
from clarion.ways_in.http.origins import Origins
from clarion.ways_in.http.peer_waits import RateWaits
from clarion.ways_in.http.problems import problem

STORE_RETRY_S = 5
GAUGE_S = 5


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises `OperatorError` when the port is taken or is 0."""
    if not config.gateway.port:
        raise OperatorError("Setting gateway.port: is 0, so there is no gateway.")
    uvloop.run(_run(config))


async def _run(config: Config) -> None:
    parts = await Parts.open(config, "gateway")
    parts.telemetry.follow_loop()
    gc_tuning.tune()
    try:
        await serve(parts)
    finally:
        await parts.close()


async def serve(parts: Parts) -> None:
    """Serve clients until SIGTERM or SIGINT. Raises `OperatorError` when the port is taken."""
    config, failures, failed = parts.config, list[OperatorError](), asyncio.Event()
    enrollment = Enrollment(parts.store, this_start("gateway", os.environ, parts.clock).owner, parts.telemetry)
    await enrollment.begin()

    def fail(error: OperatorError) -> None:
        failures.append(error)
        failed.set()

    permitted = raise_open_files(parts.telemetry, config.gateway.connections_max)
    arrivals = arrivals_of(parts, permitted)
    connections = _connections(parts, permitted, arrivals)
    news = InboxNews(parts.state.inbox, parts.state.inbox, parts.directory, parts.clock)
    hub = Hub(news, parts.telemetry)
    tickets = Tickets(parts.vault, parts.quotas, parts.clock)
    door = Door(hub, tickets, _checks(parts, news, arrivals), parts.clock, parts.telemetry)
    presence = PresenceKeeper(parts.presence, enrollment.process, hub, parts.telemetry)
    tls = ServerTls(config.api.tls, parts.telemetry, parts.clock) if has_tls(config) else None
    server = _server(parts, hub, door, connections, arrivals, tls)
    check_host("gateway.host", config.gateway.host, config.gateway.port)
    parts.state.inbox_signal.listen(partial(_heard, hub))
    jobs = (
        hub.run(),
        hub.keep_time(),
        door.watch(),
        presence.run(),
        _gauge(parts, hub),
        stop_on(failed, server),
        stay_enrolled(enrollment, fail),
        keep_definitions_fresh(parts.directory, parts.telemetry, asyncio.Event()),
    )
    beside = [asyncio.create_task(job) for job in jobs]
    if tls is not None:
        beside.append(asyncio.create_task(tls.keep_fresh()))
    try:
        await server.serve()
    except SystemExit:
        raise OperatorError(taken(config.gateway.host, config.gateway.port)) from None
    finally:
        await parts.state.inbox_signal.close()
        for job in beside:
            job.cancel()
        await presence.close()
        await enrollment.end()
    if failures:
        raise failures[0]


def _connections(parts: Parts, permitted: int, arrivals: Arrivals) -> Connections:
    networks = trusted_networks(parts.config.api.trusted_proxies)
    return Connections(
        parts.telemetry, permitted, arrivals=arrivals, is_proxy=lambda address: is_among(address, networks)
    )


def _server(
    parts: Parts, hub: Hub, door: Door, connections: Connections, arrivals: Arrivals, tls: ServerTls | None
) -> HttpServer:
    at = parts.config.gateway
    ready = {"url": f"{'ws' if tls is None else 'wss'}://{at.host}:{at.port}/v1/live"}
    make = partial(UpgradableHttp, door, connections)
    return HttpServer(
        uvicorn.Config(
            _application(parts, hub, door, connections), host=at.host, port=at.port, **settings(connections)
        ),
        parts,
        Served("gateway", ready, make, connections, arrivals, tls, on_stop=hub.drain),
    )


def _heard(hub: Hub, changed: ChangedInboxes) -> None:
    if changed.all:
        hub.changed_for_all()
    else:
        hub.changed_in(changed)


async def _gauge(parts: Parts, hub: Hub) -> None:
    while True:
        parts.telemetry.metrics.connections(len(hub))
        await asyncio.sleep(GAUGE_S)


def _checks(parts: Parts, news: InboxNews, arrivals: Arrivals) -> Checks:
    tokens, origins = UserTokens(parts.vault), Origins(parts.directory, parts.config.public_url)

    async def identify(token: str) -> TokenClaims:
        now_ms = parts.clock.now_ms()
        grant = tokens.grant(token, now_ms // 1000)
        check_generation(token, await parts.directory.token_key(grant.tenant), now_ms)
        return grant

    forwarded = Forwarded(trusted_networks(parts.config.api.trusted_proxies))
    waits = RateWaits() if parts.config.api.limits.refused_keys else None
    return Checks(
        identify, origins.allow, news.seen, parts.directory.token_key, arrivals.vouch, forwarded.client, waits
    )


def _application(parts: Parts, hub: Hub, door: Door, connections: Connections) -> ASGIApp:
    """Return the application of event streams, probes and metrics."""
    config = parts.config
    probes = application(
        ops.routes(parts, connections),
        identity_of(parts, operator_keys(config, parts.telemetry)),
        parts.telemetry,
        api=config.api,
        quotas=parts.directory.quotas,
        on_durability_lost=lambda _error: None,
        origins=Origins(parts.directory, config.public_url),
        is_operator=lambda _secret: False,
    )
    streams = EventStreams(hub, door, _refuse)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_stream = scope["path"] == STREAM_PATH and scope["method"] == "GET"
        await (streams if is_stream else probes)(scope, receive, send)

    return TrustedProxies(app, trusted_networks(config.api.trusted_proxies)) if config.api.trusted_proxies else app


async def _refuse(send: Send, error: CallerError | StoreUnavailable) -> None:
    if isinstance(error, StoreUnavailable):
        error = Overloaded("the store does not answer", retry_after_s=STORE_RETRY_S)
    await problem(send, error)
