"""uvicorn's server with a stop that no client can delay."""

import asyncio
import logging
import socket
from functools import partial
from typing import Any, Final, cast

import uvicorn

from clarion.domain.limits_processes import KEEP_ALIVE_MS_MAX, LINGER_AT_STOP_MS_MAX
from clarion.edge.connections import Connections
from clarion.edge.protocol import BoundedHttp

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
