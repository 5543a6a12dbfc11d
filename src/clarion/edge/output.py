"""What is written to a connection: how much of it, and nothing once it is being closed."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

COPIED_BYTES_MAX: Final = 65_536
"""Parts of a response are joined up to this size, so that they share a segment. Larger ones are not copied: connections that
wait with the same large body share it."""


class Output:
    """A transport that counts what is written. Everything else is the wrapped transport's."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        """`close` is called instead of the transport's own method, once; nothing is written after it."""
        self._transport = transport
        self._close = close
        self._closing = False
        self.written_bytes = 0
        """Bytes passed to the transport so far."""

    def write(self, data: bytes, more: bytes = b"") -> None:
        """Send data, and more of it, unless the connection is closing."""
        transport = self._transport
        if self._closing or transport.is_closing():
            return
        size = len(data) + len(more)
        self.written_bytes += size
        if not more:
            transport.write(data)
        elif size > COPIED_BYTES_MAX:
            transport.writelines((data, more))
        else:
            transport.write(data + more)

    def close(self) -> None:
        """Close the connection."""
        if not self._closing:
            self._closing = True
            self._close()

    def is_closing(self) -> bool:
        """Return whether the connection is closed, or will be."""
        return self._closing or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
