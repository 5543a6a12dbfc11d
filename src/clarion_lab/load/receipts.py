"""The provider's receipts: the file to which the simulator appends one JSON line a call, before it responds."""

from pathlib import Path
from typing import Final

import msgspec

DELIVERY_PREFIX: Final = "dlv_"


class Receipt(msgspec.Struct, frozen=True):
    """One call: the delivery's 48 hex digits, the simulator's clock in Unix milliseconds, and whether the simulator has
    the message. The product cannot know of a message taken without a response (`taken`, and the connection cut)."""

    delivery: str
    channel: str
    at_ms: int
    taken: bool


class _Line(msgspec.Struct):
    key: str
    channel: str
    at_ms: int
    taken: bool


_DECODER: Final = msgspec.json.Decoder(_Line)


def read(path: Path) -> list[Receipt]:
    """Return the receipts of a file without a last line that is cut short."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [
        Receipt(line.key.removeprefix(DELIVERY_PREFIX), line.channel, line.at_ms, line.taken)
        for line in map(_DECODER.decode, lines)
    ]
