"""A small blocking client of the public API, for commands. What goes wrong is one sentence for the operator."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final, Self
from urllib.parse import urlencode

import msgspec
from pyreqwest.client import SyncClientBuilder
from pyreqwest.exceptions import BuilderError, RequestError

from clarion.domain.errors import OperatorError

TIMEOUT_S: Final = 60.0
_PAGE_ITEMS: Final = 200


class Refused(OperatorError):
    """The API refused a call; `status` and `code` say how, `detail` and `field` why."""

    def __init__(self, text: str, status: int, code: str, detail: str = "", field: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field


class Unreachable(OperatorError):
    """Nothing answered at the address."""


class Remote:
    """One API and one credential. Every call raises `Refused` or `Unreachable`."""

    def __init__(self, url: str, key: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self.key = key
        self._timeout_s = timeout_s
        self._client = SyncClientBuilder().timeout(timedelta(seconds=timeout_s)).follow_redirects(False).build()

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"

    def with_key(self, key: str) -> Self:
        """Return a client of the same API with another credential."""
        return type(self)(self.url, key, self._timeout_s)

    def get(self, path: str, **query: str | int) -> Any:
        """Return the answer of a GET, decoded."""
        return self._json(self.call("GET", f"{path}?{urlencode(query)}" if query else path))

    def put(self, path: str, body: Any) -> Any:
        """Return the answer of a PUT, decoded."""
        return self._json(self.call("PUT", path, msgspec.json.encode(body)))

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
        """Return the answer of a POST, decoded."""
        return self._json(self.call("POST", path, msgspec.json.encode(body), headers=headers))

    def delete(self, path: str) -> None:
        """Make a DELETE."""
        self.call("DELETE", path)

    def pages(self, path: str, **query: str | int) -> Iterator[dict[str, Any]]:
        """Yield the items of all pages of a list."""
        while True:
            page = self.get(path, limit=_PAGE_ITEMS, **query)
            yield from page["data"]
            if not page.get("next"):
                return
            query["after"] = page["next"]

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the body of the answer."""
        try:
            request = self._client.request(method, self.url + path).headers(dict(headers or {}))
        except ValueError as error:
            raise OperatorError(f"{self.url}{path} is not a URL that can be called.") from error
        if self.key:
            if not (self.key.isascii() and self.key.isprintable()):
                raise OperatorError("The API key holds characters that no key has.")
            request = request.bearer_auth(self.key)
        if body is not None:
            request = request.body_bytes(body).header("content-type", content_type)
        try:
            response = request.build().send()
            content = bytes(response.bytes())
        except BuilderError as error:
            raise OperatorError(f"{self.url}{path} is not a URL that can be called.") from error
        except RequestError as error:
            raise Unreachable(f"No answer from {self.url}: is `clarion up` running there?") from error
        if not 200 <= response.status < 300:
            raise _refused(method, path, response.status, content)
        return content

    def _json(self, content: bytes) -> Any:
        try:
            return msgspec.json.decode(content) if content else None
        except msgspec.DecodeError as error:
            raise OperatorError(f"What answers at {self.url} is not Clarion.") from error


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""
    field: str | None = None


def _refused(method: str, path: str, status: int, content: bytes) -> Refused:
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(detail=content[:200].decode(errors="replace"))
    where = f" ({problem.field})" if problem.field else ""
    text = f"{method} {path}: {status} {problem.code}: {problem.detail}{where}"
    return Refused(text, status, problem.code, problem.detail, problem.field)
