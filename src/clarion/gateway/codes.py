"""Why the gateway closes a connection: the close codes of WebSocket (RFC 6455, section 7.4), and the same numbers in the last event
of a stream. Codes from 4000 on are Clarion's own; below 4500 a client needs something else before it comes back, from there on
it comes back by itself.
"""

from enum import IntEnum
from typing import Final


class Closing(IntEnum):
    """Codes of closed connections."""

    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    NOT_TEXT = 1003
    TOO_BIG = 1009
    MALFORMED = 4400
    UNAUTHORIZED = 4401
    ORIGIN = 4403
    TOO_MANY = 4429
    NO_HELLO = 4408
    SLOW_READER = 4500
    UNAVAILABLE = 4503
    NO_PONG = 4504


UNREADABLE: Final = frozenset(
    {Closing.PROTOCOL_ERROR, Closing.NOT_TEXT, Closing.TOO_BIG, Closing.MALFORMED, Closing.NO_HELLO}
)
"""What a client is told whose first frame cannot be read, or did not come."""

REASONS: Final = {
    Closing.GOING_AWAY: "the gateway stops; come back after a pause",
    Closing.PROTOCOL_ERROR: "the frame breaks the WebSocket protocol",
    Closing.NOT_TEXT: "only whole text frames are read",
    Closing.TOO_BIG: "the frame is too large",
    Closing.MALFORMED: "the frame is no message of a client",
    Closing.UNAUTHORIZED: "the token or ticket is not valid, or not any more",
    Closing.ORIGIN: "the tenant does not allow pages of this origin",
    Closing.TOO_MANY: "too many connections or frames",
    Closing.NO_HELLO: "the client did not say in time who it is",
    Closing.SLOW_READER: "the client did not read in time; come back with the last position",
    Closing.UNAVAILABLE: "the store does not answer; come back after a pause",
    Closing.NO_PONG: "the client did not answer a ping",
}
"""What each code says, in at most 123 bytes: a close frame holds no more."""
