"""Lingering close (RFC 9112, section 9.6): a connection that is closed while its client still sends is reset, and the
client may lose the response. So only the sending side is closed, and what comes is read and dropped, within bounds."""

import asyncio

from clarion.domain.limits_processes import (
    LINGER_AT_STOP_MS_MAX,
    LINGER_BYTES_MAX,
    LINGER_MS_MAX,
    LINGER_SILENCE_MS_MAX,
)


class Lingering:
    """The end of one connection."""

    def __init__(self, transport: asyncio.Transport, now_s: float, *, stopping: bool) -> None:
        """Close the sending side after what was written. `stopping` is whether the process stops."""
        self._transport = transport
        self._silence_s = (LINGER_AT_STOP_MS_MAX if stopping else LINGER_SILENCE_MS_MAX) / 1000
        self._end_s = now_s + (LINGER_AT_STOP_MS_MAX if stopping else LINGER_MS_MAX) / 1000
        self._dropped_bytes = 0
        self._checked_bytes = -1
        if transport.can_write_eof():
            transport.write_eof()
        transport.resume_reading()

    def stop(self, now_s: float) -> float:
        """Return the seconds until the next call of `wait_s`, now that the process stops."""
        self._silence_s = LINGER_AT_STOP_MS_MAX / 1000
        self._end_s = min(self._end_s, now_s + self._silence_s)
        return self._silence_s

    def drop(self, size: int) -> None:
        """Count dropped bytes, and disconnect a client that sends too many."""
        self._dropped_bytes += size
        if self._dropped_bytes > LINGER_BYTES_MAX:
            self._transport.abort()

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until the next call; 0 when the connection has to be closed now: nothing came since
        the call before, or time is over."""
        silent = self._checked_bytes == self._dropped_bytes
        self._checked_bytes = self._dropped_bytes
        return 0.0 if silent else max(0.0, min(self._silence_s, self._end_s - now_s))
