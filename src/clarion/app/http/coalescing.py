"""Write coalescing: what is written to a connection in one turn of the loop leaves in one system call, so that the head and the
body of an answer share a segment. uvicorn writes them one by one."""

import asyncio
from typing import Any, Final

HELD_BYTES_MAX: Final = 65_536
"""What is held back at most; beyond it the transport's own bounds count, and who writes learns that the reader is slow."""


class Coalesced:
    """A transport whose writes wait for the end of the turn. All else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._held_bytes = 0

    def write(self, data: bytes) -> None:
        """Send data with what else is written in this turn."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > HELD_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        """Send what is held. Whoever has hung up meanwhile gets nothing."""
        held, self._held, self._held_bytes = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))

    def close(self) -> None:
        """Close the connection after what was written."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
