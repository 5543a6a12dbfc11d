"""How a stage offers an HTTP endpoint without knowing the server: routes are data, handlers take a `Call`.

`app/http` turns the routes of all stages into one ASGI application and into the OpenAPI document.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec

from clarion.domain.errors import InvalidField, QuotaStanding
from clarion.domain.limits import BODY_BYTES_MAX
from clarion.domain.renamed import renamed_field


class Caller(msgspec.Struct, frozen=True):
    """Who is calling, from the credential alone. `user_id` is set for a signed user token; `expires_ms` is when the credential
    ends, if whoever told of the caller knows."""

    tenant: str
    key_id: str
    scopes: frozenset[str]
    user_id: str | None = None
    expires_ms: int | None = None


class Call(msgspec.Struct):
    """One request. `body` is decoded to the route's `body` type (None without one); `raw` holds the bytes as sent;
    header names are lower-case; `stream` yields the body of a streaming route. `target` is path and query exactly as
    sent, of a route that is `raw`."""

    caller: Caller
    path: dict[str, str]
    query: dict[str, str]
    headers: Mapping[str, str]
    raw: bytes
    body: Any = None
    stream: AsyncIterator[bytes] | None = None
    target: str = ""


class Reply(msgspec.Struct):
    """An answer. `body` is anything msgspec encodes, or None for an empty one; `raw` is sent as it is instead."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = {}
    raw: bytes | None = None
    content_type: str = "application/json"


Handler = Callable[[Call], Awaitable[Reply]]

PUBLIC = ""
"""Scope of routes that need no credential."""
OPERATOR = "operator"
"""Scope of the installation's operator: tenants and their keys."""
USER = "inbox"
"""Scope of a signed user token."""

JSON = "application/json"
TOML = "application/toml"


class Query(msgspec.Struct, frozen=True):
    """A query parameter, for the OpenAPI document."""

    name: str
    about: str
    kind: str = "string"


class Route(msgspec.Struct, frozen=True):
    """An endpoint. `scope` is what the credential must hold; `body` and `reply` are msgspec types; a `stream` route
    reads its body piecewise and has no body limit; the items of an `itemwise` body are judged one by one, so what is
    nested too deeply to be decoded comes to the handler cut to `ITEM_DEPTH_MAX`, which it refuses. A signed user token
    may call a `by_user` route too, for itself and without a body; an `optional` body anyone may leave out. `media` are
    the types of body it takes: JSON, which is taken for any type not named, and `TOML`. A `raw` route gets the bytes of its
    body, up to `limit_bytes`, and nothing is decoded."""

    method: str
    path: str
    handler: Handler
    scope: str
    summary: str
    body: Any = None
    reply: Any = None
    status: int = 200
    limit_bytes: int = BODY_BYTES_MAX
    stream: bool = False
    itemwise: bool = False
    by_user: bool = False
    optional: bool = False
    raw: bool = False
    queries: tuple[Query, ...] = ()
    tag: str = ""
    media: tuple[str, ...] = (JSON,)


_AT = re.compile(r" - at `(.+)`$")


def rate_limit_fields(standing: QuotaStanding | None) -> dict[str, str]:
    """Return the header fields that say how a quota stands (draft-ietf-httpapi-ratelimit-headers-06); none without one."""
    if standing is None:
        return {}
    return {
        "RateLimit-Limit": str(standing.limit),
        "RateLimit-Remaining": str(standing.remaining),
        "RateLimit-Reset": str(standing.reset_s),
    }


def invalid_field(error: msgspec.ValidationError) -> InvalidField:
    """Return the error that names the field a decoder stumbled over (`to[0].email`)."""
    text = str(error)
    found = _AT.search(text)
    if found is None:
        # msgspec names a missing or unknown field of the top level in the text only.
        named = re.search(r"field `([^`]+)`", text)
        return InvalidField(renamed_field(text), field=named.group(1) if named else None)
    path = found.group(1).removeprefix("$").removeprefix(".")
    named = re.search(r"field `([^`]+)`", text[: found.start()])
    if named is not None:
        path = f"{path}.{named.group(1)}" if path else named.group(1)
    return InvalidField(renamed_field(text[: found.start()]), field=path.replace("[...]", "") or None)
