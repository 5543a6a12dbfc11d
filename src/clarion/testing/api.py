"""Calls of the public API without HTTP: a request passes its route's body type and its handler, as over HTTP."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from clarion.domain.actor import Actor, ActorKind
from clarion.domain.errors import Malformed, NotFound
from clarion.domain.permissions import OF_TENANT, OF_USER
from clarion.ports.web import Call, Caller, Route, invalid_field
from clarion.ways_in.http.toml import parsed

_KEY: Final = Actor(ActorKind.KEY, "testing")


class Api:
    """The routes of an installation, called for one tenant."""

    def __init__(self, routes: Sequence[Route], tenant: str) -> None:
        # Fixed paths first: `/v1/users/bulk` must not be read as the user `bulk`.
        self._routes = sorted(routes, key=lambda route: "{" in route.path)
        self._tenant = tenant

    async def call(self, method: str, path: str, body: Any, user: str | None, query: dict[str, str]) -> Any:
        """Return the decoded response; with `user`, the call has that user's token. Raises the `CallerError` of a
        refusal."""
        route, named = self._find(method, path)
        raw = b"" if body is None else _raw(body)
        own = Caller(self._tenant, Actor(ActorKind.USER, user), OF_USER, user) if user is not None else None
        request = Call(own or Caller(self._tenant, _KEY, OF_TENANT), named, query, {}, raw)
        if route.body is not None and raw:
            request.body = _decoded(raw, route.body)
        reply = await route.handler(request)
        answer = msgspec.json.encode(reply.body) if reply.raw is None else reply.raw
        return msgspec.json.decode(answer)

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        parts = path.split("/")
        for route in self._routes:
            wanted = route.path.split("/")
            if route.method != method or len(wanted) != len(parts):
                continue
            pairs = list(zip(wanted, parts, strict=True))
            if all(want == part or want.startswith("{") for want, part in pairs):
                return route, {want[1:-1]: part for want, part in pairs if want.startswith("{")}
        raise NotFound(f"there is no {method} {path}")


def _raw(body: Any) -> bytes:
    """Return a body as JSON; a path is a file of JSON, or of TOML when it ends in `.toml`."""
    if not isinstance(body, Path):
        return msgspec.json.encode(body)
    return msgspec.json.encode(parsed(body.read_bytes())) if body.suffix == ".toml" else body.read_bytes()


def _decoded(raw: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise invalid_field(error) from None
    except msgspec.DecodeError as error:
        raise Malformed(f"the body is not valid JSON: {error}") from None
