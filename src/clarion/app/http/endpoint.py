"""One path of the API as an ASGI endpoint: authenticate, read, decode, call the handler, answer.

Errors of the caller become RFC 9457 problem documents; anything else is a blank 500 with a log line.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Mapping
from functools import partial
from types import coroutine
from typing import Any, Final, TypeVar, cast
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec
from starlette.types import Message, Receive, Scope, Send

from clarion.app.http import toml
from clarion.app.http.room import Place, Room
from clarion.domain.depth import pruned
from clarion.domain.errors import (
    CallerError,
    ClarionError,
    DurabilityError,
    Forbidden,
    Malformed,
    Overloaded,
    QuotaExceeded,
    TooLarge,
    TooSlow,
    Unauthorized,
)
from clarion.domain.limits import BODY_WAIT_MS_MAX, ITEM_DEPTH_MAX, METERED_BODY_BYTES_MIN
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import PUBLIC, TOML, USER, Call, Caller, Reply, Route, invalid_field, rate_limit_fields

_JSON: Final = msgspec.json.Encoder()

_T = TypeVar("_T")
_LENGTH_DIGITS: Final = 18
_PROBLEM_TYPE: Final = b"application/problem+json"
_SAFE: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # The one page there is, /docs, has a style of its own and nothing else.
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
)
"""Headers of every answer: what the API tells is for the caller alone, and is never a document but where it says so."""
_ANYONE: Final = Caller(tenant="", key_id="", scopes=frozenset())

Identify = Callable[[str], Awaitable[Caller | None]]
"""Returns whose bearer credential a text is."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem document; `code` is stable, `field` the path of the offending field."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None


class Endpoint:
    """All methods of one path."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        identify: Identify,
        telemetry: Telemetry,
        room: Room,
        on_durability_lost: Callable[[], None],
    ) -> None:
        self._routes = routes
        self._room = room
        self._on_durability_lost = on_durability_lost
        self._identify = identify
        self._telemetry = telemetry
        self._decoders = {
            method: msgspec.json.Decoder(route.body) for method, route in routes.items() if route.body is not None
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = scope["method"]
        route = self._routes.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = {"allow": ", ".join(self._routes)}
            await problem(send, CallerError("method not allowed", code="method_not_allowed"), 405, allowed)
            return
        try:
            with self._room.place() as place:
                reply = await self._answer(route, scope, receive, place)
        except CallerError as error:
            self._telemetry.count("refused", 1, code=error.code)
            await problem(send, error)
        except ClarionError as error:
            await self._fail(send, route, error)
        except Exception as error:  # noqa: BLE001 - the last line before the server; the caller learns nothing of it
            await self._fail(send, route, error)
        else:
            await _reply(send, reply)

    async def _answer(self, route: Route, scope: Scope, receive: Receive, place: Place) -> Reply:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        call = Call(
            caller=await self._caller(route, headers),
            path=_path(scope),
            query=_query(scope["query_string"]),
            headers=headers,
            raw=b"",
        )
        if route.stream:
            call.stream = _pieces(receive)
        elif route.raw:
            call.raw = await _in_time(_read(receive, headers, route.limit_bytes, place))
            call.target = _target(scope)
        elif route.body is not None:
            call.raw = await _in_time(_read(receive, headers, route.limit_bytes, place))
            if call.raw or not (route.optional or (route.by_user and call.caller.user_id is not None)):
                media = headers.get("content-type", "").partition(";")[0].strip().lower()
                if len(call.raw) < METERED_BODY_BYTES_MIN:
                    return await self._taken(route, call, media)
                # Metering costs more than a small request could ever take.
                return await self._telemetry.cpu_of(_part(route), self._taken(route, call, media))
        return await route.handler(call)

    async def _taken(self, route: Route, call: Call, media: str) -> Reply:
        from_toml = media == TOML and TOML in route.media
        call.body = _from_toml(route, call.raw) if from_toml else self._decode(route, call.raw)
        return await route.handler(call)

    async def _caller(self, route: Route, headers: Mapping[str, str]) -> Caller:
        if route.scope == PUBLIC:
            return _ANYONE
        kind, _, secret = headers.get("authorization", "").partition(" ")
        caller = await self._identify(secret.strip()) if kind.lower() == "bearer" and secret else None
        if caller is None:
            raise Unauthorized("needs 'Authorization: Bearer <key>' with a valid key", field="Authorization")
        if route.by_user and USER in caller.scopes:
            return caller
        if route.scope not in caller.scopes and ("*" not in caller.scopes or route.scope in _NEVER_BY_WILDCARD):
            raise Forbidden(f"the key lacks the scope {route.scope!r}", field="Authorization")
        return caller

    def _decode(self, route: Route, raw: bytes, *, whole: bool = True) -> Any:
        try:
            return self._decoders[route.method].decode(raw)
        except msgspec.ValidationError as error:
            raise invalid_field(error) from None
        except RecursionError:
            if route.itemwise and whole:
                return self._decode(route, pruned(raw, ITEM_DEPTH_MAX), whole=False)
            raise Malformed("the body is nested too deeply") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"the body is not valid JSON: {error}") from None

    async def _fail(self, send: Send, route: Route, error: Exception) -> None:
        self._telemetry.log("error", "request_failed", path=route.path, error=f"{type(error).__name__}: {error}")
        if isinstance(error, DurabilityError):
            self._on_durability_lost()
            await problem(send, Overloaded("nothing can be stored now", retry_after_s=5))
            return
        await problem(send, CallerError("internal error", code="internal"), 500)


def _part(route: Route) -> str:
    """Return the stage, or the part of the product, that a route is of."""
    return route.handler.__module__.removeprefix("clarion.").partition(".")[0]


_REPLACEMENT: Final = "\ufffd"
_NEVER_BY_WILDCARD: Final = frozenset({"operator", "inbox"})


def _from_toml(route: Route, raw: bytes) -> Any:
    try:
        return msgspec.convert(toml.parsed(raw), route.body)
    except msgspec.ValidationError as error:
        raise invalid_field(error) from None


async def _in_time(reading: Coroutine[Any, Any, _T]) -> _T:
    # A request under way holds one of a bounded number of places, so a caller who dawdles holds up all others. Most bodies
    # come with their heads, and a clock would cost more than reading them.
    try:
        awaited = reading.send(None)
    except StopIteration as done:
        return cast("_T", done.value)
    try:
        async with asyncio.timeout(BODY_WAIT_MS_MAX / 1000):
            return await _resumed(reading, awaited)
    except TimeoutError:
        raise TooSlow("the body did not come in time") from None


@coroutine
def _resumed(work: Coroutine[Any, Any, _T], awaited: Any) -> Generator[Any, Any, _T]:
    """Go on with a coroutine that waits for `awaited`."""
    while True:
        try:
            answer = yield awaited
        except BaseException as error:  # noqa: BLE001 - cancellation too is the business of who waits
            step = partial(work.throw, error)
        else:
            step = partial(work.send, answer)
        try:
            awaited = step()
        except StopIteration as done:
            return cast("_T", done.value)


async def _read(receive: Receive, headers: Mapping[str, str], limit_bytes: int, place: Place) -> bytes:
    declared = headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > _LENGTH_DIGITS or int(declared) > limit_bytes):
        raise TooLarge(f"the body is larger than {limit_bytes} bytes")
    first = await receive()
    body: bytes = first.get("body", b"")
    place.take(len(body))
    if first.get("more_body"):
        parts, size = [body], len(body)
        async for part in _pieces(receive):
            place.take(len(part))
            parts.append(part)
            size += len(part)
            if size > limit_bytes:
                raise TooLarge(f"the body is larger than {limit_bytes} bytes")
        body = b"".join(parts)
    if len(body) > limit_bytes:
        raise TooLarge(f"the body is larger than {limit_bytes} bytes")
    return body


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await _in_time(_next(receive))
        if message["type"] == "http.disconnect":
            raise Malformed("the body ended early")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def _next(receive: Receive) -> Message:
    return await receive()


def _target(scope: Scope) -> str:
    path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _path(scope: Scope) -> dict[str, str]:
    # The server replaces what is no UTF-8, so that different ids would become the same one.
    if _REPLACEMENT in scope["path"]:
        try:
            unquote_to_bytes(scope["raw_path"]).decode()
        except UnicodeDecodeError:
            raise Malformed("the path is not valid UTF-8") from None
    found: dict[str, str] = scope.get("path_params", {})
    return found


def _query(raw: bytes) -> dict[str, str]:
    if not raw:
        return {}
    try:
        return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        raise Malformed("the query is not valid UTF-8") from None


async def _reply(send: Send, reply: Reply) -> None:
    raw = reply.raw
    content_type = reply.content_type.encode()
    if raw is None:
        raw = b"" if reply.body is None else _JSON.encode(reply.body)
    headers = [*_SAFE, (b"content-type", content_type), (b"content-length", b"%d" % len(raw))]
    if reply.headers:
        own = {name.lower().encode(): value.encode("latin-1") for name, value in reply.headers.items()}
        headers = [*((name, value) for name, value in headers if name not in own), *own.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})


async def problem(
    send: Send, error: CallerError, status: int | None = None, extra: Mapping[str, str] | None = None
) -> None:
    """Send an error of the caller as a problem document."""
    code = status or error.status
    document = Problem(
        f"urn:clarion:{error.code}", error.code.replace("_", " "), code, error.code, error.detail, error.field
    )
    raw = _JSON.encode(document)
    headers = [*_SAFE, (b"content-type", _PROBLEM_TYPE), (b"content-length", b"%d" % len(raw))]
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % retry_after_s))
    if code == Unauthorized.status:
        headers.append((b"www-authenticate", b"Bearer"))
    standing = error.standing if isinstance(error, QuotaExceeded) else None
    more = {**rate_limit_fields(standing), **(extra or {})}
    headers += [(name.lower().encode(), value.encode()) for name, value in more.items()]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": raw})
