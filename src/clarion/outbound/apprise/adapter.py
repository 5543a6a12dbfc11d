"""The `requests` library without sockets: behind the fence, the thread's `Calls` send its requests."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from clarion.domain.errors import EgressError
from clarion.domain.message import HttpResponse
from clarion.outbound.apprise.calls import Calls, Over, header_text


class _Turn(threading.local):
    calls: Calls | None = None


_turn: Final = _Turn()
_lock: Final = threading.Lock()
_routed: Final[set[str]] = set()


class EgressAdapter(BaseAdapter):
    """A transport adapter of `requests` that passes each prepared request to `Calls`."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self._calls = calls

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Return the response as `requests` does. Raises its `ConnectionError` when there is none."""
        headers = {name: header_text(value) for name, value in request.headers.items()}
        try:
            answer = self._calls.send(request.method or "GET", request.url or "", headers, _bytes_of(request.body))
        except (EgressError, Over) as error:
            raise requests.ConnectionError(str(error)) from None
        return _response(request, answer)

    def close(self) -> None:
        """Do nothing: the adapter holds no connections."""


def _bytes_of(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    if hasattr(body, "read"):
        read = body.read()
        return read.encode() if isinstance(read, str) else bytes(read)
    return b"".join(piece.encode() if isinstance(piece, str) else bytes(piece) for piece in body)


def _response(request: requests.PreparedRequest, answer: HttpResponse) -> requests.Response:
    response = requests.Response()
    response.status_code = answer.status
    response.headers = CaseInsensitiveDict(answer.headers)
    response.encoding = requests.utils.get_encoding_from_headers(response.headers)
    response.url = request.url or ""
    response.request = request
    # There is no stream to read from: the whole response is in memory.
    response._content = answer.body
    response._content_consumed = True  # type: ignore[attr-defined, unused-ignore]
    return response


@contextmanager
def route_through(calls: Calls) -> Iterator[None]:
    """Send this thread's calls of `requests` through `calls` within the context."""
    with _lock:
        if not _routed:
            _route()
            _routed.add("requests")
    _turn.calls = calls
    try:
        yield
    finally:
        _turn.calls = None


def _route() -> None:
    """Make sessions choose the adapter by thread. Services call `requests.post` and similar functions, each of which
    creates its own session, so there is no session to mount an adapter on. Other threads get the original adapters."""
    usual: Callable[..., BaseAdapter] = requests.Session.get_adapter

    def get_adapter(self: requests.Session, url: str) -> BaseAdapter:
        calls = _turn.calls
        return usual(self, url) if calls is None else EgressAdapter(calls)

    requests.Session.get_adapter = get_adapter  # type: ignore[method-assign, unused-ignore]
