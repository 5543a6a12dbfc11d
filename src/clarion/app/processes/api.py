"""The API process: serves HTTP requests over the journal and the stores."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from functools import partial

import uvicorn
import uvloop
from starlette.types import ASGIApp

from clarion.app.config.settings import Config
from clarion.app.processes import gc_tuning, malloc
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
from clarion.app.routes.all_routes import routes
from clarion.app.wiring.parts import Parts, identity_of
from clarion.control.schedules.timers import repair_timers
from clarion.domain.errors import DurabilityError, OperatorError, StoreRewound, StoreUnavailable
from clarion.domain.limits_processes import (
    INTERPRETER_SWITCH_MS,
    ROLES_LOOK_MS,
    SCHEDULE_REPAIR_MS,
)
from clarion.edge.connections import Connections
from clarion.edge.forwarded import TrustedProxies, trusted_networks
from clarion.edge.open_files import raise_open_files
from clarion.edge.protocol import BoundedHttp
from clarion.edge.server import settings
from clarion.edge.tls.renewal import ServerTls
from clarion.identity.identify import Identity
from clarion.identity.operator_keys import OPERATOR_KEY_FILE, operator_keys
from clarion.journal import topics
from clarion.ports.web import Route
from clarion.runtime.definition_refresh import keep_definitions_fresh
from clarion.runtime.enrollment import Enrollment
from clarion.runtime.missing_roles import MissingRoles
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
    failed, identity = asyncio.Event(), identity_of(parts, operator_keys(config, parts.telemetry))
    permitted = raise_open_files(parts.telemetry)
    arrivals = arrivals_of(parts, permitted)
    connections = Connections(parts.telemetry, permitted, arrivals=arrivals)
    roles = MissingRoles(parts.store, parts.clock, parts.telemetry, parts.telemetry.metrics.role_missing)
    ops_routes = ops.routes(parts, connections, roles)

    def fail(error: DurabilityError | OperatorError) -> None:
        failures.append(error)
        failed.set()

    app = _application(parts, identity, ops_routes, fail)
    tls = ServerTls(config.api.tls, parts.telemetry, parts.clock) if has_tls(config) else None
    make, health = partial(BoundedHttp, connections), _health(app, ops_routes, parts)
    served = Served("api", _ready(config), make, connections, arrivals, tls, health, parts.inbox_waits.close)
    at = config.api
    server = HttpServer(
        uvicorn.Config(app, host=at.host, port=at.port, headers=hsts(config), **settings(connections)), parts, served
    )
    check_host("api.host", config.api.host, config.api.port)
    jobs = (_refresh(parts), _gauge(parts), _look(roles), _repair(parts), identity.follow(), stop_on(failed, server))
    beside = [asyncio.create_task(job) for job in (*jobs, stay_enrolled(enrollment, fail))]
    if tls is not None:
        beside.append(asyncio.create_task(tls.keep_fresh()))
    try:
        await server.serve()
    except SystemExit:
        raise OperatorError(taken(config.api.host, config.api.port)) from None
    finally:
        for job in beside:
            job.cancel()
    await identity.close()
    await enrollment.end()
    if failures and isinstance(failures[0], StoreRewound | OperatorError):
        raise failures[0]
    if failures:
        raise OperatorError("A commit failed, so nothing more was acknowledged; check the disk.")


def _ready(config: Config) -> dict[str, str]:
    key = "configured" if config.operator_key else str(config.data_dir / OPERATOR_KEY_FILE)
    return {"docs": f"{config.listening_url}/docs", "operators_file": key}


def _health(app: ASGIApp, ops: list[Route], parts: Parts) -> HealthListener | None:
    api = parts.config.api
    if not api.health_port:
        return None
    check_host("api.health_host", api.health_host, api.health_port)
    return HealthListener(app, {route.path for route in ops}, api.health_host, api.health_port, parts.telemetry)


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


async def _refresh(parts: Parts) -> None:
    await keep_definitions_fresh(parts.directory, parts.telemetry, asyncio.Event())


async def _gauge(parts: Parts) -> None:
    while True:
        with contextlib.suppress(StoreUnavailable):  # the next round retries
            for group, events in (await parts.store.backlog_of(topics.GROUP_TOPICS)).items():
                parts.telemetry.metrics.backlog(group, events)
        await asyncio.sleep(BACKLOG_GAUGE_S)


async def _look(roles: MissingRoles) -> None:
    while True:
        with contextlib.suppress(StoreUnavailable):  # the next round retries
            await roles.look()
        await asyncio.sleep(ROLES_LOOK_MS / 1000)


async def _repair(parts: Parts) -> None:
    while True:
        try:
            await repair_timers(parts.control, parts.store, parts.clock.now_ms())
        except Exception as error:  # noqa: BLE001 - requests are still answered, and the next round retries
            parts.telemetry.log("error", "schedules_unrepaired", error=repr(error))
        await asyncio.sleep(SCHEDULE_REPAIR_MS / 1000)
