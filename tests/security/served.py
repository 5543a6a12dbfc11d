"""A server of the HTTP protocol under test, over loopback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, NamedTuple

import uvicorn

from clarion.edge import protocol
from clarion.edge.connections import Connections


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds. Raises `AssertionError` after five seconds."""
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the condition does not hold")


class Served(NamedTuple):
    """A running server."""

    port: int
    server: uvicorn.Server
    connections: Connections

    async def __call__(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def until_alone(self) -> None:
        """Wait until no connection is left. Raises `AssertionError` after five seconds."""
        await until(lambda: not self.server.server_state.connections)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Answer any request, without reading its body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.asynccontextmanager
async def served(app: Any = hello, connections: Connections | None = None, **options: Any) -> AsyncIterator[Served]:
    """Run a server of an application, with options of uvicorn."""
    entered = connections or Connections()
    http: Any = partial(protocol.BoundedHttp, entered)
    config = uvicorn.Config(
        app,
        port=0,
        http=http,
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
        **options,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield Served(server.servers[0].sockets[0].getsockname()[1], server, entered)
    finally:
        await server.shutdown()


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the connection is closed."""
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""
