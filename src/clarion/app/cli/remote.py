"""A small blocking client of the public API, for commands. Every error is one sentence for the operator."""

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlencode

import msgspec
from pyreqwest.client import SyncClientBuilder
from pyreqwest.exceptions import BuilderError, RequestError

from clarion.domain.errors import OperatorError

TIMEOUT_S: Final = 60.0
CA_FILE_VARIABLE: Final = "CLARION_CA_FILE"
"""Names a PEM file of CAs to trust besides the system's, for an API with a certificate of a private CA."""
CLIENT_FILE_VARIABLE: Final = "CLARION_CLIENT_FILE"
"""Names a PEM file with a certificate and its key, for an API that demands one of its clients."""
_PAGE_ITEMS: Final = 200
_PEM_START: Final = b"-----BEGIN CERTIFICATE-----"


class RequestRefused(OperatorError):
    """The API refused a call: its `status` and `code`, with the reason in `detail` and `field`."""

    def __init__(self, text: str, status: int, code: str, detail: str = "", field: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field


class Unreachable(OperatorError):
    """Nothing answered at the address."""


class Remote:
    """One API and one credential. Every call raises `RequestRefused` or `Unreachable`."""

    def __init__(self, url: str, key: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self.key = key
        self._timeout_s = timeout_s
        builder = SyncClientBuilder().timeout(timedelta(seconds=timeout_s)).follow_redirects(False)
        self._client = _with_certificates(builder, os.environ).build()

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"

    def with_credential(self, key: str) -> Self:
        """Return a client of the same API with another credential."""
        return type(self)(self.url, key, self._timeout_s)

    def get(self, path: str, **query: str | int) -> Any:
        """Return the decoded response to a GET."""
        return self._json(self.call("GET", f"{path}?{urlencode(query)}" if query else path))

    def put(self, path: str, body: Any) -> Any:
        """Return the decoded response to a PUT."""
        return self._json(self.call("PUT", path, msgspec.json.encode(body)))

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
        """Return the decoded response to a POST."""
        return self._json(self.call("POST", path, msgspec.json.encode(body), headers=headers))

    def delete(self, path: str) -> None:
        """Send a DELETE."""
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
        """Return the body of the response to one request. Raises `RequestRefused`, `Unreachable` or `OperatorError` for a URL
        or key that cannot be sent."""
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
            raise Unreachable(_no_answer(self.url, error)) from error
        if not 200 <= response.status < 300:
            raise _refused(method, path, response.status, content)
        return content

    def _json(self, content: bytes) -> Any:
        try:
            return msgspec.json.decode(content) if content else None
        except msgspec.DecodeError as error:
            raise OperatorError(f"The server at {self.url} is not Clarion.") from error


def _no_answer(url: str, error: RequestError) -> str:
    """Return why a server did not answer, as a sentence for the operator."""
    details = getattr(error, "details", None) or {}
    last = str((details.get("causes") or [{}])[-1].get("message", ""))
    if "invalid peer certificate" in last:
        return f"The certificate of {url} is not trusted ({last}): {CA_FILE_VARIABLE} can name its CA."
    if "fatal alert" in last:
        return f"{url} refused the TLS connection ({last}): {CLIENT_FILE_VARIABLE} can name a certificate with its key."
    if url.startswith("https:"):  # a server may refuse a client without a certificate by closing the connection alone
        return f"No answer from {url}: is `clarion up` running there, and does it want a certificate ({CLIENT_FILE_VARIABLE})?"
    return f"No answer from {url}: is `clarion up` running there?"


def _with_certificates(builder: SyncClientBuilder, env: Mapping[str, str]) -> SyncClientBuilder:
    """Return a builder of clients with the certificates that the environment names."""
    adders = {CA_FILE_VARIABLE: builder.add_root_certificate_pem, CLIENT_FILE_VARIABLE: builder.identity_pem}
    for name, add in adders.items():
        if env.get(name):
            try:
                pem = Path(env[name]).read_bytes()
                if _PEM_START not in pem:  # the client would trust nobody more, and not say so
                    raise ValueError("it holds no certificate in PEM")
                builder = add(pem)
            except (OSError, BuilderError, ValueError) as error:
                raise OperatorError(f"{name}: cannot use {env[name]}: {error}.") from error
    return builder


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""
    field: str | None = None


def _refused(method: str, path: str, status: int, content: bytes) -> RequestRefused:
    try:
        problem = msgspec.json.decode(content, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(detail=content[:200].decode(errors="replace"))
    where = f" ({problem.field})" if problem.field else ""
    text = f"{method} {path}: {status} {problem.code}: {problem.detail}{where}"
    return RequestRefused(text, status, problem.code, problem.detail, problem.field)
