"""A plain, blocking API client for setting things up and looking at what became of them; not for load."""

import http.client
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

import msgspec

TIMEOUT_S: Final = 120.0
PAGE_ITEMS: Final = 200


class ApiError(Exception):
    """The API answered with something else than success; the text holds its problem document."""

    def __init__(self, method: str, path: str, status: int, body: bytes) -> None:
        super().__init__(f"{method} {path}: {status} {body[:500].decode(errors='replace')}")
        self.status = status


class Client:
    """One keep-alive connection. Every call raises `ApiError` on a refusal and `OSError` on a broken connection."""

    def __init__(self, host: str, port: int, secret: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._address = (host, port)
        self._secret = secret
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def with_secret(self, secret: str) -> "Client":
        """Return a client for the same address with another credential."""
        return Client(*self._address, secret, self._timeout_s)

    def get(self, path: str, **query: str | int) -> Any:
        """Return the decoded answer of a GET."""
        return self.call("GET", f"{path}?{urlencode(query)}" if query else path)

    def post(self, path: str, body: Any) -> Any:
        """Return the decoded answer of a POST."""
        return self.call("POST", path, msgspec.json.encode(body))

    def put(self, path: str, body: Any) -> Any:
        """Return the decoded answer of a PUT."""
        return self.call("PUT", path, msgspec.json.encode(body))

    def text(self, path: str) -> str:
        """Return the answer of a GET as text."""
        return self._raw("GET", path, None, "application/json").decode()

    def call(self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json") -> Any:
        """Return the decoded answer, None when it is empty."""
        answer = self._raw(method, path, body, content_type)
        return msgspec.json.decode(answer) if answer else None

    def pages(self, path: str, **query: str | int) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages of a list."""
        after: dict[str, str] = {}
        while True:
            page = self.get(path, limit=PAGE_ITEMS, **query, **after)
            yield from page["data"]
            if not page.get("next"):
                return
            after = {"after": page["next"]}

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _raw(self, method: str, path: str, body: bytes | None, content_type: str) -> bytes:
        headers = {"authorization": f"Bearer {self._secret}"} if self._secret else {}
        if body is not None:
            headers["content-type"] = content_type
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=self._timeout_s)
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        if not 200 <= answer.status < 300:
            raise ApiError(method, path, answer.status, content)
        return content
