"""Frame encoding: 12 bytes of header, then the MessagePack columns of one event kind.

Header, big-endian: magic `CF` (2 bytes), codec version (1), event kind (1), event count (4), CRC-32 of the eight bytes before
it and of the body (4).
The header is the same in every version. A reader refuses a version or kind it does not know; columns may only be added
at the end, so an older frame stays readable.
"""

import struct
from typing import Final
from zlib import crc32

import msgspec

from clarion.domain.errors import CorruptFrame, UnknownFrame
from clarion.journal.events import (
    AcceptedFrame,
    AdvanceFrame,
    AttemptedFrame,
    CancelledFrame,
    ChunkAttemptedFrame,
    ChunkFrame,
    ChunkReleasedFrame,
    DeliverFrame,
    Event,
    HealthFrame,
    IntentFrame,
    OccurrenceFrame,
    PlannedFrame,
    ProgressFrame,
    ReceiptFrame,
    ReplayedFrame,
    ResumeFrame,
    SeenFrame,
    SignalFrame,
)

VERSION: Final = 1
_MAGIC: Final = b"CF"
_HEADER: Final = struct.Struct(">2sBBII")
_HEAD: Final = struct.Struct(">2sBBI")
_CHECKSUM: Final = struct.Struct(">I")

_KINDS: Final[dict[int, type[Event]]] = {
    1: AcceptedFrame,
    2: DeliverFrame,
    3: ChunkFrame,
    4: PlannedFrame,
    5: IntentFrame,
    6: AttemptedFrame,
    7: ChunkAttemptedFrame,
    8: CancelledFrame,
    9: ReplayedFrame,
    10: AdvanceFrame,
    11: ResumeFrame,
    12: SignalFrame,
    13: ProgressFrame,
    14: SeenFrame,
    15: OccurrenceFrame,
    16: ChunkReleasedFrame,
    17: ReceiptFrame,
    18: HealthFrame,
}
_CODES: Final = {kind: code for code, kind in _KINDS.items()}
_DECODERS: Final = {code: msgspec.msgpack.Decoder(kind) for code, kind in _KINDS.items()}
_ENCODER: Final = msgspec.msgpack.Encoder()


def encode(event: Event, count: int) -> bytes:
    """Return the bytes of a frame of `count` events."""
    body = _ENCODER.encode(event)
    head = _HEAD.pack(_MAGIC, VERSION, _CODES[type(event)], count)
    return b"".join((head, _CHECKSUM.pack(crc32(body, crc32(head))), body))


def count_of(payload: bytes) -> int:
    """Return the event count in a frame's header, without decoding the frame."""
    return int(_HEADER.unpack_from(payload)[3])


def decode(payload: bytes) -> Event:
    """Return the event of a frame. Raises `CorruptFrame` when header, checksum or body is bad, and `UnknownFrame` when
    the frame is whole but has an unknown version or kind."""
    if len(payload) < _HEADER.size:
        raise CorruptFrame("frame is shorter than its header")
    magic, version, kind, _count, checksum = _HEADER.unpack_from(payload)
    if magic != _MAGIC:
        raise CorruptFrame("not a frame")
    if checksum != _checksum(payload):
        raise CorruptFrame("frame checksum does not match")
    if version != VERSION or kind not in _DECODERS:
        raise UnknownFrame(
            f"the frame is whole but of version {version}, kind {kind}; this build reads version {VERSION}, "
            f"kinds {min(_DECODERS)} to {max(_DECODERS)}: start the build that wrote it, or a newer one"
        )
    try:
        return _DECODERS[kind].decode(memoryview(payload)[_HEADER.size :])
    except msgspec.MsgspecError as error:
        raise CorruptFrame(f"frame body is unreadable: {error}") from error


def _checksum(payload: bytes) -> int:
    """Return the expected checksum of a frame. The checksum's own bytes at the end of the header are not part of the
    sum."""
    return crc32(memoryview(payload)[_HEADER.size :], crc32(payload[: _HEAD.size]))
