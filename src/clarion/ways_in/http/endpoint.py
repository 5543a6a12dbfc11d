"""One path of the API as an ASGI endpoint: authenticates, reads, decodes, calls the handler and responds.

Errors of the caller become RFC 9457 problem documents; any other error is a 500 without details and a log line.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping
from functools import partial
from http import HTTPStatus
from types import coroutine
from typing import Any, Final, TypeVar, cast
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec
from starlette.types import Message, Receive, Scope, Send

from clarion.domain.contacts import masked
from clarion.domain.depth import pruned
from clarion.domain.errors import (
    CallerError,
    ClarionError,
    DurabilityError,
    Malformed,
    OutcomeUnknown,
    Overloaded,
    QuotaStatus,
    StoreRewound,
    StoreUnavailable,
    TooLarge,
    TooSlow,
    UnsupportedEncoding,
)
from clarion.domain.json_values import check_marks, check_number_of_marks, check_values, marks_in
from clarion.domain.limits import BODY_WAIT_MS_MAX, ITEM_DEPTH_MAX, QUERY_FIELDS_MAX
from clarion.domain.limits_processes import LOOP_BODY_BYTES_MAX, METERED_BODY_BYTES_MIN
from clarion.domain.permissions import CONTACTS, PUBLIC, SHOW_CONTACTS
from clarion.domain.times import shown
from clarion.edge.cycle import IDLE_MS, VOUCH
from clarion.edge.safe_headers import OF_PAGES, SAFE
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import TOML, Call, Reply, Route, invalid_field
from clarion.ways_in.http import toml
from clarion.ways_in.http.admission import Admission
from clarion.ways_in.http.cors import EXCHANGE
from clarion.ways_in.http.gate import Entrance, Gate, PermissionRefused, Visitor
from clarion.ways_in.http.problems import problem
from clarion.ways_in.http.rate_limit_fields import rate_limit_fields

_JSON: Final = msgspec.json.Encoder()

_T = TypeVar("_T")
_LENGTH_DIGITS: Final = 18
KEY_EXPIRES_AT: Final = "Clarion-Key-Expires-At"
"""The header that says when the key of a request expires (RFC 3339), of answers to keys that do."""


class Endpoint:
    """All methods of one path."""

    def __init__(
        self,
        routes: Mapping[str, Route],
        gate: Gate,
        telemetry: Telemetry,
        on_durability_lost: Callable[[DurabilityError], None],
    ) -> None:
        self._routes = routes
        self._entrances = {method: Entrance(route, gate) for method, route in routes.items()}
        self._on_durability_lost = on_durability_lost
        self._telemetry = telemetry
        self._heavy = gate.heavy
        self._decoders = {
            method: msgspec.json.Decoder(route.body) for method, route in routes.items() if route.body is not None
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = scope["method"]
        if method == "HEAD":
            method = "GET"
        route = self._routes.get(method)
        if route is None:
            allowed = {"allow": ", ".join(self._routes)}
            await problem(send, CallerError("method not allowed", code="method_not_allowed"), 405, allowed)
            return
        entrance, charge = self._entrances[method], None
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            try:
                visitor = await entrance.identify(headers, scope.get("client"))
            except PermissionRefused as refusal:
                if EXCHANGE in scope:
                    await scope[EXCHANGE].check(refusal.caller)
                raise
            charge = visitor.charge
            vouch = scope.get("state", _NO_STATE).get(VOUCH)
            if vouch is not None and route.permission != PUBLIC:
                vouch()
            with entrance.admit(visitor) as admission:
                if EXCHANGE in scope:
                    await scope[EXCHANGE].check(visitor.caller)
                call = _call_of(scope, visitor, headers)
                reply = await self._handled(route, call, scope, receive, admission)
                if route.permission in SHOW_CONTACTS and CONTACTS not in visitor.caller.permissions:
                    _mask(reply)
            if route.proves:
                entrance.refund(visitor)
                if vouch is not None:
                    vouch()
        except CallerError as error:
            self._telemetry.count("refused", 1, code=error.code)
            await problem(send, error, charge=charge)
        except ClarionError as error:
            await self._fail(send, route, error, charge)
        except Exception as error:  # noqa: BLE001 - the outermost handler; the caller gets no details
            await self._fail(send, route, error, charge)
        else:
            if visitor.caller.expires_ms is not None:
                reply.headers = {**reply.headers, KEY_EXPIRES_AT: shown(visitor.caller.expires_ms).isoformat()}
            await _reply(send, reply, charge)

    async def _handled(self, route: Route, call: Call, scope: Scope, receive: Receive, admission: Admission) -> Reply:
        if route.stream:
            _check_encoding(call.headers)
            call.stream = _pieces(receive)
        elif route.raw:
            call.raw = await _in_time(_read(receive, call.headers, route, admission))
            async with self._heavy if len(call.raw) > LOOP_BODY_BYTES_MAX else contextlib.nullcontext():
                check_values(call.raw, route.values_max, "the body")
            call.target = _target(scope)
        elif route.body is not None:
            call.raw = await _in_time(_read(receive, call.headers, route, admission))
            if call.raw or not route.optional:
                try:
                    if len(call.raw) >= METERED_BODY_BYTES_MIN:
                        # Metering costs more than a small request could ever take.
                        return await self._telemetry.cpu_of(_part(route), self._handled_large(route, call))
                    body = _from_toml(route, call.raw) if _is_toml(route, call) else self._decoded(route, call.raw)
                    call.body = await self._decode_pruned(route, call.raw) if body is _TOO_DEEP else body
                except (Malformed, TooLarge):
                    _check_encoding(call.headers)  # not before: nearly every body has none
                    raise
        return await route.handler(call)

    async def _handled_large(self, route: Route, call: Call) -> Reply:
        raw = call.raw
        if _is_toml(route, call):
            large = len(raw) > LOOP_BODY_BYTES_MAX
            call.body = await asyncio.to_thread(_from_toml, route, raw) if large else _from_toml(route, raw)
            return await route.handler(call)
        async with self._heavy if len(raw) > LOOP_BODY_BYTES_MAX else contextlib.nullcontext():
            body = self._decoded(route, raw)
        call.body = await self._decode_pruned(route, raw) if body is _TOO_DEEP else body
        return await route.handler(call)

    def _decoded(self, route: Route, raw: bytes) -> Any:
        if route.itemwise:
            check_marks(raw, route.values_max, "the body")
        else:
            check_values(raw, route.values_max, "the body")
        try:
            return self._decode(route, raw)
        except RecursionError:
            return _TOO_DEEP

    async def _decode_pruned(self, route: Route, raw: bytes) -> Any:
        deep = Malformed("the body is nested too deeply")
        if not route.itemwise:
            raise deep
        try:
            return self._decode(route, await asyncio.to_thread(pruned, raw, ITEM_DEPTH_MAX))
        except RecursionError:
            raise deep from None

    def _decode(self, route: Route, raw: bytes) -> Any:
        try:
            return self._decoders[route.method].decode(raw)
        except msgspec.ValidationError as error:
            raise invalid_field(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"the body is not valid JSON: {error}") from None

    async def _fail(self, send: Send, route: Route, error: Exception, charge: QuotaStatus | None) -> None:
        if isinstance(error, OutcomeUnknown | StoreUnavailable):
            self._telemetry.log("warning", "store_unavailable", path=route.path, detail=str(error))
            await problem(send, Overloaded("the store does not answer now", retry_after_s=5), charge=charge)
            return
        if isinstance(error, StoreRewound):
            self._telemetry.log("warning", "store_rewound", path=route.path, detail=str(error))
            self._on_durability_lost(error)
            await problem(send, Overloaded("the store has changed", retry_after_s=5), charge=charge)
            return
        self._telemetry.log("error", "request_failed", path=route.path, error=f"{type(error).__name__}: {error}")
        if isinstance(error, DurabilityError):
            self._on_durability_lost(error)
            await problem(send, Overloaded("nothing can be stored now", retry_after_s=5), charge=charge)
            return
        await problem(send, CallerError("internal error", code="internal"), 500, charge=charge)


def _mask(reply: Reply) -> None:
    """Mask the contacts in a reply."""
    if reply.body is not None:
        reply.body = masked(msgspec.json.decode(_JSON.encode(reply.body)))


def _call_of(scope: Scope, visitor: Visitor, headers: Mapping[str, str]) -> Call:
    return Call(
        caller=visitor.caller,
        path=_path(scope),
        query=_query(scope["query_string"]),
        headers=headers,
        raw=b"",
        may_wait_ms=scope.get("state", _NO_STATE).get(IDLE_MS, math.inf),
        address=(scope.get("client") or ("",))[0],
    )


def _check_encoding(headers: Mapping[str, str]) -> None:
    """Raise `UnsupportedEncoding` for a body that is compressed (RFC 9110, section 8.4)."""
    encoding = headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        raise UnsupportedEncoding("send the body without compression", field="Content-Encoding")


def _is_toml(route: Route, call: Call) -> bool:
    return TOML in route.media and call.headers.get("content-type", "").partition(";")[0].strip().lower() == TOML


def _part(route: Route) -> str:
    """Return the stage, or the part of the product, that a route belongs to."""
    module = route.handler.__module__.removeprefix("clarion.")
    return _PARTS.get(module) or _PARTS.get(folder := module.partition(".")[0], folder)


_PARTS: Final = {
    "ways_in": "accept",
    "ways_in.http.application": "app",
    "inbox": "inbox",
    "history": "record",
    "identity": "control",
}
"""Names in `clarion_stage_cpu_seconds_total` of folders and modules whose own name is another."""
_TOO_DEEP: Final = object()
_NO_STATE: Final[dict[str, Any]] = {}
_REPLACEMENT: Final = "\ufffd"


def _from_toml(route: Route, raw: bytes) -> Any:
    try:
        return msgspec.convert(toml.parsed(raw), route.body)
    except msgspec.ValidationError as error:
        raise invalid_field(error) from None


async def _in_time(reading: Coroutine[Any, Any, _T]) -> _T:
    # Concurrent requests are bounded, so a slow client delays all other clients. Most bodies arrive with their heads,
    # and a timer would cost more than reading them.
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
    """Resume a coroutine that waits for `awaited`."""
    while True:
        try:
            answer = yield awaited
        except BaseException as error:  # noqa: BLE001 - passed to the coroutine, cancellation too
            step = partial(work.throw, error)
        else:
            step = partial(work.send, answer)
        try:
            awaited = step()
        except StopIteration as done:
            return cast("_T", done.value)


async def _read(receive: Receive, headers: Mapping[str, str], route: Route, admission: Admission) -> bytes:
    limit_bytes = route.limit_bytes
    declared = headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > _LENGTH_DIGITS or int(declared) > limit_bytes):
        raise TooLarge(f"the body is larger than {limit_bytes} bytes")
    first = await receive()
    if first["type"] == "http.disconnect":
        raise Malformed("the body ended early")
    body: bytes = first.get("body", b"")
    admission.allocate(len(body))
    if first.get("more_body"):
        parts, size, marks = [body], len(body), marks_in(body)
        async for part in _pieces(receive):
            admission.allocate(len(part))
            parts.append(part)
            size += len(part)
            if size > limit_bytes:
                raise TooLarge(f"the body is larger than {limit_bytes} bytes")
            if route.itemwise:
                marks += marks_in(part)
                check_number_of_marks(marks, route.values_max, "the body")  # before memory is filled with the rest
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
    # The server replaces bytes that are not UTF-8, which would make different ids equal.
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
    if raw.count(b"&") >= QUERY_FIELDS_MAX:
        raise TooLarge(f"the query has more than {QUERY_FIELDS_MAX} parameters", code="too_many_parameters")
    try:
        return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True, errors="strict"))
    except UnicodeDecodeError:
        raise Malformed("the query is not valid UTF-8") from None


async def _reply(send: Send, reply: Reply, charge: QuotaStatus | None) -> None:
    raw = reply.raw
    content_type = reply.content_type.encode()
    if raw is None:
        raw = b"" if reply.body is None else _JSON.encode(reply.body)
    headers = [*SAFE, *rate_limit_fields(charge, reply.quota)]
    if reply.status != HTTPStatus.NO_CONTENT:  # which has neither (RFC 9110, section 8.6)
        headers += (b"content-type", content_type), (b"content-length", b"%d" % len(raw))
    if content_type[:9] == b"text/html":
        headers += OF_PAGES
    if reply.headers:
        own = {name.lower().encode(): value.encode("latin-1") for name, value in reply.headers.items()}
        headers = [*((name, value) for name, value in headers if name not in own), *own.items()]
    headers += [(b"set-cookie", value.encode("latin-1")) for value in reply.cookies]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})
