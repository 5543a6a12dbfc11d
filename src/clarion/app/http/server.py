"""uvicorn's server with a stop that no client can delay, and the listener for health beside it."""

import asyncio
import logging
import socket
from collections.abc import Collection
from functools import partial
from typing import Any, Final, cast

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from clarion.app.http.connections import Connections
from clarion.app.http.endpoint import problem
from clarion.app.http.protocol import BoundedHttp
from clarion.domain.errors import NotFound, OperatorError
from clarion.domain.limits_processes import (
    HEALTH_CONNECTIONS_MAX,
    KEEP_ALIVE_MS_MAX,
    LINGER_AT_STOP_MS_MAX,
    PATH_CHARS_SHOWN_MAX,
)
from clarion.ports.telemetry import Telemetry

_CHECK_S: Final = 0.02
_LOGGER: Final = logging.getLogger("uvicorn.error")


def settings(connections: Connections) -> dict[str, Any]:
    """Return uvicorn's settings for a listener that has these connections."""
    return {
        "http": partial(BoundedHttp, connections),
        "ws": "none",
        "loop": "none",
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": KEEP_ALIVE_MS_MAX // 1000,
    }


class BoundedServer(uvicorn.Server):
    """A server whose stop takes a bounded time, and ends by itself: idle connections are closed, requests whose bodies
    are not complete are refused, and responses under way get until the bound."""

    def __init__(self, config: uvicorn.Config, connections: Connections, drain_s: float) -> None:
        super().__init__(config)
        self._connections = connections
        self._drain_s = drain_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._connections.stopping = True
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self._drain_s):
                while (state.connections or state.tasks) and not self.force_exit:  # noqa: ASYNC110 - nothing tells of it
                    await asyncio.sleep(_CHECK_S)
        except TimeoutError:
            _LOGGER.warning("Responses to %d clients did not end in time", len(state.connections))
        for connection in list(state.connections):
            cast("BoundedHttp", connection).abort()
        for task in list(state.tasks):
            task.cancel()
        if state.tasks:
            await asyncio.wait(list(state.tasks), timeout=LINGER_AT_STOP_MS_MAX / 1000)


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
