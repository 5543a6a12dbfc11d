"""Responses to accepted requests, and their stored form, so that a repeated request gets the same response."""

from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import msgspec

from clarion.accept.shapes import BatchOut, BroadcastOut, NotificationOut
from clarion.accept.shapes_events import EventOut
from clarion.domain.errors import KeyReused, QuotaStatus

A = TypeVar("A", bound=msgspec.Struct)
"""The response to an accepted request: `NotificationOut`, `BatchOut`, `BroadcastOut` or `EventOut`."""


class Acceptance(NamedTuple, Generic[A]):
    """A durable request. `replayed` is true when it was accepted before, under the same key. `quota` is the state of
    the caller's quota; None without a quota and for a replay."""

    response: A
    replayed: bool = False
    quota: QuotaStatus | None = None


class _StoredResponse(NamedTuple):
    kind: str
    response: msgspec.Raw


_KINDS: Final[dict[type[Any], str]] = {
    NotificationOut: "notification",
    BatchOut: "batch",
    BroadcastOut: "broadcast",
    EventOut: "event",
}
_PACK: Final = msgspec.msgpack.Encoder()
_STORED: Final = msgspec.msgpack.Decoder(_StoredResponse)
_PACKED: Final = {kind: msgspec.msgpack.Decoder(kind) for kind in _KINDS}
_JSON: Final = {kind: msgspec.json.Decoder(kind) for kind in _KINDS}


def encode_response(response: msgspec.Struct) -> bytes:
    """Return a response as the bytes that are stored."""
    return _PACK.encode((_KINDS[type(response)], response))


def decode_response(answer: bytes, kind: type[A]) -> A:
    """Return a stored response. Raises `KeyReused` when it was given to a request of another kind."""
    try:
        if answer.startswith(b"{"):  # earlier builds stored the response as JSON
            return cast("A", _JSON[kind].decode(answer))
        name, response = _STORED.decode(answer)
        if name == _KINDS[kind]:
            return cast("A", _PACKED[kind].decode(response))
    except msgspec.ValidationError:
        pass
    raise KeyReused("this idempotency key was used for a request of another kind", field="Idempotency-Key")
