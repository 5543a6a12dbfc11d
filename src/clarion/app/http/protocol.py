"""uvicorn's HTTP/1.1 protocol with what it leaves open shut: how many bytes the head of a request may have, and how long
it may take to arrive. Anybody who can connect can send one, with or without a key."""

import asyncio
import logging
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from clarion.app.http.coalescing import Coalesced
from clarion.domain.limits import HEAD_BYTES_MAX, HEAD_WAIT_MS_MAX, STRANGER_WARNING_MS


class OncePerMinute(logging.Filter):
    """Lets a warning through when the same one is a minute old: what strangers send must not fill the log."""

    def __init__(self) -> None:
        super().__init__()
        self._last_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record is written. Errors are; warnings are told apart by their texts, which are few."""
        if record.levelno > logging.WARNING:
            return True
        last_s = self._last_s.get(str(record.msg))
        if last_s is not None and record.created - last_s < STRANGER_WARNING_MS / 1000:
            return False
        self._last_s[str(record.msg)] = record.created
        return True


_STRANGERS: Final = logging.getLogger("uvicorn.error.strangers")
_STRANGERS.addFilter(OncePerMinute())


class BoundedHttp(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.logger = _STRANGERS
        self._in_head = True
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Give the first request its time."""
        self._coalesced = Coalesced(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", self._coalesced))
        self._expect_head()

    def eof_received(self) -> None:
        """Send what is held to who sends no more: the loop closes the connection after this."""
        self._coalesced.flush()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._relax()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass data on; refuse a head that is over its bound and not at its end."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """Note that a head begins."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._expect_head()

    def on_headers_complete(self) -> None:
        """Note that a head has ended."""
        self._in_head = False
        self._relax()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_WAIT_MS_MAX / 1000, self._give_up)

    def _relax(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        self.transport.close()
