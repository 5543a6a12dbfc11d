"""Write coalescing: the data written to a connection in one iteration of the loop is sent in one system call, so that
the head and the body of a response share a segment. uvicorn writes them separately."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

HELD_BYTES_MAX: Final = 65_536
"""The most bytes held back; beyond it the transport's own bounds apply, which pause the writer for a slow reader."""


class Coalesced:
    """A transport that delays writes until the end of the loop's iteration. Everything else is the wrapped
    transport's."""

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        close: Callable[[], None] | None = None,
    ) -> None:
        """`close` is called instead of the transport's own method, once; nothing is written after it."""
        self._transport = transport
        self._loop = loop
        self._close = close or transport.close
        self._closing = False
        self._held: list[bytes] = []
        self._held_bytes = 0
        self.written_bytes = 0
        """Bytes passed to the transport so far."""

    def write(self, data: bytes) -> None:
        """Send data together with the other writes of this iteration."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > HELD_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        """Send the held data, unless the connection is closing."""
        held, size = self._held, self._held_bytes
        self._held, self._held_bytes = [], 0
        if not held or self._closing or self._transport.is_closing():
            return
        self.written_bytes += size
        if size > HELD_BYTES_MAX:
            # Not copied: connections that wait with the same large body share it.
            self._transport.writelines(held)
        else:
            self._transport.write(b"".join(held))

    def close(self) -> None:
        """Close the connection after sending the held data."""
        if self._closing:
            return
        self.flush()
        self._closing = True
        self._close()

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or will be."""
        return self._closing or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
