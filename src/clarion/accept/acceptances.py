"""What was accepted, as values, and how it is kept so that the same request gets the same answer again."""

from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import msgspec

from clarion.accept.shapes import BatchOut, BroadcastOut, NotificationOut
from clarion.accept.shapes_events import EventOut
from clarion.domain.errors import KeyReused, QuotaStanding

A = TypeVar("A", bound=msgspec.Struct)
"""What is told of what was accepted: `NotificationOut`, `BatchOut`, `BroadcastOut` or `EventOut`."""


class Acceptance(NamedTuple, Generic[A]):
    """A request that is durable. `replayed`: it was before, under the same key. `quota` is how the caller's quota stands,
    None without one and for a replay."""

    told: A
    replayed: bool = False
    quota: QuotaStanding | None = None


class _Kept(NamedTuple):
    kind: str
    told: msgspec.Raw


_KINDS: Final[dict[type[Any], str]] = {
    NotificationOut: "notification",
    BatchOut: "batch",
    BroadcastOut: "broadcast",
    EventOut: "event",
}
_PACK: Final = msgspec.msgpack.Encoder()
_KEPT: Final = msgspec.msgpack.Decoder(_Kept)
_PACKED: Final = {kind: msgspec.msgpack.Decoder(kind) for kind in _KINDS}
_JSON: Final = {kind: msgspec.json.Decoder(kind) for kind in _KINDS}


def kept(told: msgspec.Struct) -> bytes:
    """Return the bytes under which an answer is remembered."""
    return _PACK.encode((_KINDS[type(told)], told))


def recalled(answer: bytes, kind: type[A]) -> A:
    """Return a remembered answer. Raises `KeyReused` when it was given to a request of another kind."""
    try:
        if answer.startswith(b"{"):  # the build before kept the JSON of the answer
            return cast("A", _JSON[kind].decode(answer))
        name, told = _KEPT.decode(answer)
        if name == _KINDS[kind]:
            return cast("A", _PACKED[kind].decode(told))
    except msgspec.ValidationError:
        pass
    raise KeyReused("this idempotency key was used for a request of another kind", field="Idempotency-Key")
