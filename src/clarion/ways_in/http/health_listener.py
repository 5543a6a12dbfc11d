"""A listener of its own for probes and metrics, beside that of the API."""

from collections.abc import Collection

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from clarion.domain.errors import NotFound, OperatorError
from clarion.domain.limits_processes import HEALTH_CONNECTIONS_MAX, LINGER_AT_STOP_MS_MAX, PATH_CHARS_SHOWN_MAX
from clarion.edge.connections import Connections
from clarion.edge.server import BoundedServer, settings
from clarion.ports.telemetry import Telemetry
from clarion.ways_in.http.problems import problem


class HealthListener:
    """A listener of its own for some fixed paths of an application, with plain HTTP: what fills the other one's connections
    does not reach it."""

    def __init__(self, app: ASGIApp, paths: Collection[str], host: str, port: int, telemetry: Telemetry) -> None:
        self._host = host
        self._port = port
        connections = Connections(telemetry, HEALTH_CONNECTIONS_MAX)
        options = settings(connections)
        self._server = BoundedServer(
            uvicorn.Config(_Only(app, paths), host=host, port=port, **options),
            connections,
            LINGER_AT_STOP_MS_MAX / 1000,
        )

    async def start(self) -> int:
        """Listen, and return the port. Raises `OperatorError` when it is taken."""
        server = self._server
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        try:
            await server.startup()
        except SystemExit:
            address = f"{self._host}:{self._port}"
            raise OperatorError(f"Cannot listen on {address} (api.health_port): is it taken?") from None
        port: int = server.servers[0].sockets[0].getsockname()[1]
        return port

    async def tick(self) -> None:
        """Update the `date` header."""
        await self._server.on_tick(0)

    async def stop(self) -> None:
        """Stop listening."""
        if self._server.started:
            await self._server.shutdown()


class _Only:
    """Some paths of an application."""

    def __init__(self, app: ASGIApp, paths: Collection[str]) -> None:
        self._app = app
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in self._paths:
            await self._app(scope, receive, send)
        else:
            await problem(send, NotFound(f"there is nothing at {scope['path'][:PATH_CHARS_SHOWN_MAX]}"))
