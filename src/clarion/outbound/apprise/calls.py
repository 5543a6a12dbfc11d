"""The calls of one message: the guarded client makes each on the event loop, while the library's thread waits for
it."""

import asyncio
import threading
import time
from concurrent.futures import CancelledError, Future
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from clarion.domain.errors import EgressError, Sent
from clarion.domain.limits_delivery import APPRISE_ANSWER_BYTES_MAX, APPRISE_CALLS_MAX, APPRISE_PROBE_CHARS
from clarion.domain.message import HttpRequest, HttpResponse
from clarion.ports.egress import HttpEgress

_UNASKED: Final = frozenset({"accept-encoding", "connection", "host", "content-length", "transfer-encoding"})
"""Headers that the client sets itself."""


class Over(Exception):
    """Raised when no further call is made for this message."""


class Made(msgspec.Struct, frozen=True):
    """A call that got a response; `carried` is whether it contained a part of the message's text."""

    method: str
    carried: bool
    response: HttpResponse


class Calls:
    """The calls that one message has made so far. Used by the library's thread; `stop` is called on the event loop."""

    def __init__(self, http: HttpEgress, loop: asyncio.AbstractEventLoop, text: str, timeout_ms: int) -> None:
        self._http = http
        self._loop = loop
        self._probe = _probe(text)
        self._until = time.monotonic() + timeout_ms / 1000
        self._stopped = False
        self._turn = threading.Lock()
        self._waiting: Future[HttpResponse] | None = None
        self.made: list[Made] = []
        self.failure: EgressError | None = None

    def send(self, method: str, url: str, headers: dict[str, str], body: bytes) -> HttpResponse:
        """Return the response to a call. Raises `EgressError` when there is none, and `Over` when no further call is
        allowed."""
        left_ms = int((self._until - time.monotonic()) * 1000)
        if self._stopped or self.failure or len(self.made) >= APPRISE_CALLS_MAX or self._paused():
            raise Over("no further call is made for this message")
        if left_ms <= 0:
            self.failure = EgressError("the message took too long", sent=Sent.NO)
            raise self.failure
        kept = {name.lower(): value for name, value in headers.items() if name.lower() not in _UNASKED}
        request = HttpRequest(method, url, kept, body, left_ms, answer_bytes_max=APPRISE_ANSWER_BYTES_MAX)
        try:
            response = self._answer(request, left_ms)
        except EgressError as error:
            self.failure = error
            raise
        self.made.append(Made(method, self._carries(url, body), response))
        return response

    def _answer(self, request: HttpRequest, left_ms: int) -> HttpResponse:
        with self._turn:
            if self._stopped:
                raise Over("no further call is made for this message")
            waiting = self._waiting = asyncio.run_coroutine_threadsafe(self._http.send(request), self._loop)
        try:
            # The client enforces the time-out; this one is for a loop that has stopped.
            return waiting.result(left_ms / 1000 + 1)
        except (TimeoutError, CancelledError):
            waiting.cancel()
            raise EgressError("the call was aborted", sent=Sent.MAYBE) from None

    def _paused(self) -> bool:
        # After a 429 the library would retry at once, but the retry policy decides when. After a redirect it would send
        # its secrets to the new location.
        last = self.made[-1].response.status if self.made else 0
        return last == 429 or 300 <= last < 400

    def _carries(self, url: str, body: bytes) -> bool:
        if not self._probe:
            return False
        plain = body.decode("utf-8", "replace")
        return any(self._probe in _letters(text) for text in (plain, unquote_plus(plain), unquote_plus(url)))

    def stop(self) -> None:
        """Make no further call, and abort the current one."""
        with self._turn:
            self._stopped = True
            if self._waiting is not None:
                self._waiting.cancel()

    @property
    def begun(self) -> bool:
        """Whether any call was made. After `stop`, this never becomes true."""
        return self._waiting is not None

    def decisive(self, done: bool) -> Made | None:
        """Return the call whose response decides the message's result: the last failed call if the library does not
        report success, else the last call; None without calls."""
        bad = [] if done else [made for made in self.made if not 200 <= made.response.status < 300]
        found = bad or self.made
        return found[-1] if found else None

    def partly(self, decisive: Made | None) -> bool:
        """Return whether a call other than the decisive one may have delivered the message: one that succeeded and
        carried the text or, when no call carried it (a service may encode it), any that succeeded and was not a GET or
        HEAD."""
        seen = any(made.carried for made in self.made)
        return any(
            200 <= made.response.status < 300 and (made.carried if seen else made.method not in ("GET", "HEAD"))
            for made in self.made
            if made is not decisive
        )


def _letters(text: str) -> str:
    """Return the ASCII letters and digits of a text, which quoting, escaping and markup do not change."""
    return "".join(one for one in text if one.isascii() and one.isalnum())


def _probe(text: str) -> str:
    """Return the longest run of letters and digits in a text, cut to `APPRISE_PROBE_CHARS`; empty when it is too short
    to rule out a chance match."""
    runs: list[str] = "".join(one if one.isascii() and one.isalnum() else " " for one in text).split()
    longest = max(runs, key=len, default="")[:APPRISE_PROBE_CHARS]
    return longest if len(longest) > 3 else ""


def header_text(value: Any) -> str:
    """Return a header's value as text; the library sends some as bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
