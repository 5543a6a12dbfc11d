"""What one task at a time waits for: an event with little memory, and the flow of a connection with it. A connection has no
more than one waiter, and asyncio's event costs as much memory as the rest of an idle connection's state."""

import asyncio
from typing import cast

from uvicorn.protocols.http.flow_control import FlowControl


class OneWaiterEvent:
    """An event like asyncio's that one task at a time may wait for."""

    __slots__ = ("_is_set", "_waiter")

    def __init__(self, *, is_set: bool = False) -> None:
        self._is_set = is_set
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Set the event and wake its waiter."""
        self._is_set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """Unset the event."""
        self._is_set = False

    async def wait(self) -> None:
        """Wait until the event is set, if it is not. Raises `RuntimeError` while another task waits."""
        if self._is_set:
            return
        if self._waiter is not None:
            raise RuntimeError("another task waits for this event")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class Flow(FlowControl):
    """uvicorn's flow of a connection, whose responses are written by one task."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._is_writable_event = cast("asyncio.Event", OneWaiterEvent(is_set=True))
