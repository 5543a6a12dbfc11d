"""Calls the application as a server does, without a server: one scope, the pieces of a body, and the response."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.types import ASGIApp


class Answer(NamedTuple):
    """The response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def call(
    app: ASGIApp,
    method: str,
    target: str,
    body: bytes | Sequence[bytes] = b"",
    *,
    key: str | None = "good",
    headers: dict[str, str] | None = None,
    gone: bool = False,
    state: dict[str, Any] | None = None,
) -> Answer:
    """Make one request. Several pieces come as several messages without a content length; `gone` hangs up after them."""
    pieces = [body] if isinstance(body, bytes) else list(body)
    path, _, query = target.partition("?")
    sent = {**({"authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        "state": state or {},
    }
    messages = [
        {"type": "http.request", "body": piece, "more_body": gone or place < len(pieces) - 1}
        for place, piece in enumerate(pieces)
    ]
    result: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        result.append(message)

    await app(scope, receive, send)
    start, *rest = result
    assert start["type"] == "http.response.start"
    text = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], text, b"".join(message["body"] for message in rest))
