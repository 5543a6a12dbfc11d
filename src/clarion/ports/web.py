"""HTTP endpoints of stages, independent of the server: routes are data, handlers take a `Call`.

`ways_in/http` turns the routes of all stages into one ASGI application and into the OpenAPI document.
"""

import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec

from clarion.domain.actor import Actor
from clarion.domain.errors import Forbidden, InvalidField, QuotaStatus
from clarion.domain.limits import BODY_BYTES_MAX, BODY_VALUES_MAX
from clarion.domain.networks import Network
from clarion.domain.permissions import lacks


class Caller(msgspec.Struct, frozen=True):
    """The caller, as identified by the credential alone: `clarion.identity.callers` makes it. What it may do is its
    permissions; the kind of its actor is for the gate and the audit. Without a tenant it is the operator. With `user_id` it
    acts for this user alone; `expires_ms` is when the credential expires, if known. With `networks`, it may be used from
    addresses in them alone."""

    tenant: str
    actor: Actor
    permissions: frozenset[str]
    user_id: str | None = None
    expires_ms: int | None = None
    networks: tuple[Network, ...] = ()

    def require(self, permission: str, field: str) -> None:
        """Raise `Forbidden` that names a field unless the caller has a permission, beside the one of its route."""
        if permission not in self.permissions:
            raise Forbidden(lacks(permission), field=field)


class Call(msgspec.Struct):
    """One request. `body` is decoded to the route's `body` type (None without one); `raw` is the bytes as received;
    header names are lower-case; `stream` yields the body of a streaming route. `target` is path and query exactly as
    received, for a `raw` route. `may_wait_ms` is how long the request may wait for others to be stored with it; `address` is the
    client's."""

    caller: Caller
    path: dict[str, str]
    query: dict[str, str]
    headers: Mapping[str, str]
    raw: bytes
    body: Any = None
    stream: AsyncIterator[bytes] | None = None
    target: str = ""
    may_wait_ms: float = math.inf
    address: str = ""


class Reply(msgspec.Struct):
    """A response. `body` is anything msgspec encodes, or None for an empty one; `raw` is sent unchanged instead. `quota` is
    the state of the caller's quota of events, which the response says in its header fields. `cookies` are values of `Set-Cookie`."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = {}
    raw: bytes | None = None
    content_type: str = "application/json"
    quota: QuotaStatus | None = None
    cookies: tuple[str, ...] = ()


Handler = Callable[[Call], Awaitable[Reply]]

JSON = "application/json"
TOML = "application/toml"


class Query(msgspec.Struct, frozen=True):
    """A query parameter, for the OpenAPI document."""

    name: str
    about: str
    kind: str = "string"


class Route(msgspec.Struct, frozen=True):
    """An endpoint. `permission` is what the caller must have, one of `clarion.domain.permissions`, or `PUBLIC`;
    `body` and `reply` are msgspec types; a `stream` route reads its body piecewise and has no body limit; the items
    of an `itemwise` body are validated one by one, so an item nested too deeply to be decoded reaches the handler
    cut to `ITEM_DEPTH_MAX`, which it refuses. An `optional` body may be left out. `media` are the accepted types of
    the body: JSON, which is assumed for any type not named, and `TOML`. A `raw` route gets the bytes of its body,
    up to `limit_bytes`, and nothing is decoded. `values_max` bounds the values of a JSON body. Requests to a
    `health` route are bounded apart from all others. A request to a route without a credential counts as `cost`
    ones at the limit of its peer, and as none where its success `proves` who the caller is. `idempotency_key` is
    whether the header `Idempotency-Key` makes a request safe to repeat. A `versioned` route returns an `ETag`, and
    unless it reads it takes `If-Match` and `If-None-Match`. `description` and `example`, a body, are for the
    OpenAPI document."""

    method: str
    path: str
    handler: Handler
    permission: str
    summary: str
    body: Any = None
    reply: Any = None
    status: int = 200
    limit_bytes: int = BODY_BYTES_MAX
    values_max: int = BODY_VALUES_MAX
    stream: bool = False
    itemwise: bool = False
    optional: bool = False
    raw: bool = False
    queries: tuple[Query, ...] = ()
    tag: str = ""
    health: bool = False
    media: tuple[str, ...] = (JSON,)
    cost: int = 1
    proves: bool = False
    idempotency_key: bool = False
    versioned: bool = False
    description: str = ""
    example: Any = None


_AT = re.compile(r" - at `(.+)`$")


def invalid_field(error: msgspec.ValidationError) -> InvalidField:
    """Return the error that names the field at which decoding failed (`to[0].email`)."""
    text = str(error)
    found = _AT.search(text)
    if found is None:
        # msgspec gives a missing or unknown top-level field in the text only.
        named = re.search(r"field `([^`]+)`", text)
        return InvalidField(text, field=named.group(1) if named else None)
    path = found.group(1).removeprefix("$").removeprefix(".")
    named = re.search(r"field `([^`]+)`", text[: found.start()])
    if named is not None:
        path = f"{path}.{named.group(1)}" if path else named.group(1)
    return InvalidField(text[: found.start()], field=path.replace("[...]", "") or None)
