"""Messages between a client and the gateway: one JSON object per frame, its kind in `type`.

A client begins with `hello`. The gateway answers `welcome`, which says whether everything missed follows (`recovered`), and then sends
`item`, `item_state`, `counts` and `reload`. Each of these has the position up to which it brings the client, from which it can
go on after a cut. `pong` answers a `ping`, and `goodbye` says when to come back to a gateway that stops.
"""

from typing import Annotated, Any, Final

import msgspec

from clarion.domain.errors import Malformed
from clarion.domain.limits import USER_TOKEN_CHARS_MAX
from clarion.domain.limits_gateway import PING_INTERVAL_MS, TICKET_CHARS_MAX

_ENCODER: Final = msgspec.json.Encoder()
_POSITION_CHARS_MAX: Final = 128


class Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="hello"):
    """Who the client is, by a token or a ticket, and what it has seen: the position of the last message it got."""

    token: Annotated[str, msgspec.Meta(max_length=USER_TOKEN_CHARS_MAX)] | None = None
    ticket: Annotated[str, msgspec.Meta(max_length=TICKET_CHARS_MAX)] | None = None
    position: Annotated[str, msgspec.Meta(max_length=_POSITION_CHARS_MAX)] | None = None


class Ping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="ping"):
    """Asks whether the gateway is there: browsers cannot send the ping of the protocol."""


_DECODER: Final = msgspec.json.Decoder(Hello | Ping)


def read(frame: bytes) -> Hello | Ping:
    """Return the message of a client. Raises `Malformed` for a frame that is none."""
    try:
        message: Hello | Ping = _DECODER.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Malformed("the frame is no message of a client") from None
    if isinstance(message, Hello) and (message.token is None) is (message.ticket is None):
        raise Malformed("a hello has either a token or a ticket")
    return message


def opened(frame: msgspec.Struct) -> bytes:
    """Return a message to a client, open at its end for its position."""
    return _ENCODER.encode(frame)[:-1]


def whole(frame: msgspec.Struct) -> bytes:
    """Return a message that brings a client nowhere, and so has no position."""
    return _ENCODER.encode(frame)


def opened_as(kind: str, **fields: Any) -> bytes:
    """Return a message of a kind that has no value of its own."""
    return _ENCODER.encode({"type": kind, **fields})[:-1]


def closed(frame: bytes, position: str) -> bytes:
    """Return an open message with its position. The text of a position needs no escapes."""
    return b'%b,"position":"%b"}' % (frame, position.encode())


def welcome(position: str | None, *, recovered: bool) -> bytes:
    """Return the answer to a hello: whether all that the client missed follows, step by step. It brings nothing itself, so its
    position is the one that the client came with, and none where that is of no use."""
    frame = opened_as("welcome", recovered=recovered, ping_interval_ms=PING_INTERVAL_MS)
    return frame + b"}" if position is None else closed(frame, position)


def goodbye(retry_after_ms: int) -> bytes:
    """Return what a client gets before it is asked to leave: how long it waits before it comes back."""
    return _ENCODER.encode({"type": "goodbye", "retry_after_ms": retry_after_ms})


RELOAD: Final = opened_as("reload")
PONG: Final = _ENCODER.encode({"type": "pong"})
