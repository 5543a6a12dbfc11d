"""What clients of Centrifugo say and hear, in its JSON protocol: as much of it as the comparison needs."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from clarion_lab.sockets.page import masked

PATH: Final = "/connection/websocket"
PONG: Final = masked(b"{}")
_PING: Final = b"{}"


class Data(msgspec.Struct, frozen=True):
    """What is published; `sent_ns` stands in items alone."""

    sent_ns: int = 0


class Publication(msgspec.Struct, frozen=True):
    """A published message."""

    data: Data


class Push(msgspec.Struct, frozen=True):
    """A message that the server sends by itself."""

    pub: Publication


class Message(msgspec.Struct, frozen=True):
    """What the server says."""

    push: Push | None = None
    subscribe: dict[str, Any] | None = None
    is_ping: bool = False


_DECODER: Final = msgspec.json.Decoder(Message)


def hello(channel: str) -> bytes:
    """Return the first frame of a client that listens to a channel."""
    commands = ({"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": channel}})
    return masked(b"\n".join(map(msgspec.json.encode, commands)))


def messages(payload: bytes) -> Iterator[Message]:
    """Return the messages of a frame: one a line."""
    for line in payload.split(b"\n"):
        if line == _PING:
            yield Message(is_ping=True)
        elif line:
            yield _DECODER.decode(line)
