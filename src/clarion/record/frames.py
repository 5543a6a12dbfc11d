"""Frames of `outcomes` as they are read: decoded once each, with the keys of the rows that folding them needs."""

from collections.abc import Iterable, Mapping, Set
from types import MappingProxyType
from typing import Final, NamedTuple

from clarion.domain.errors import CorruptFrame, UnknownFrame
from clarion.journal import codec, events
from clarion.journal.repeats import advance_numbers
from clarion.ports.streams import StoredFrame

_NO_NUMBERS: Final[Mapping[str, int]] = MappingProxyType({})


class Damage(NamedTuple):
    """A frame that cannot be decoded. Intact frames behind it are folded all the same."""

    offset: int
    detail: str


class Decoded(NamedTuple):
    """The frames of one partition up to the first one that this build cannot read, which `unknown` describes. `offset`
    is the last one's, None for no frame; `numbers` are the highest sequences of their producers, by which repeated
    frames are detected; `size` is the number of their events."""

    events: list[events.Event]
    damaged: list[Damage]
    offset: int | None
    size: int
    unknown: str = ""
    numbers: Mapping[str, int] = _NO_NUMBERS


class FrameIds(NamedTuple):
    """The ids of deliveries and of chunks. `planned` are those of both that these frames plan: most have no row yet."""

    delivery_ids: set[bytes]
    chunk_ids: set[bytes]
    planned: Set[bytes] = frozenset()


def decoded(stored: Iterable[StoredFrame], numbers: Mapping[str, int] = _NO_NUMBERS) -> Decoded:
    """Return the decoded frames of one partition, in order. Frames that were folded before by `numbers` are left
    out."""
    result: list[events.Event] = []
    damaged: list[Damage] = []
    offset, size = None, 0
    for frame in stored:
        after = advance_numbers(frame, numbers)
        if after is None:
            offset = frame.offset
            continue
        try:
            result.append(codec.decode(frame.payload))
        except UnknownFrame as unknown:
            return Decoded(result, damaged, offset, size, f"frame {frame.offset}: {unknown}", numbers)
        except CorruptFrame as corrupt:
            damaged.append(Damage(frame.offset, str(corrupt)))
        offset, size, numbers = frame.offset, size + frame.count, after
    return Decoded(result, damaged, offset, size, numbers=numbers)


def touched(frames: Iterable[events.Event]) -> FrameIds:
    """Return the deliveries and the chunks whose current rows folding these frames needs."""
    deliveries: set[bytes] = set()
    chunks: set[bytes] = set()
    planned: set[bytes] = set()
    for frame in frames:
        match frame:
            case events.IntentFrame(chunk_id=bytes(chunk_id)):
                chunks.add(chunk_id)
            case events.PlannedFrame():
                deliveries.update(frame.delivery_ids)
                planned.update(frame.delivery_ids)
            case events.IntentFrame() | events.ReplayedFrame():
                deliveries.update(frame.delivery_ids)
            case events.AttemptedFrame():
                deliveries.update(frame.delivery_ids)
                chunks.update(place[0] for place in frame.chunks if place is not None)
            case events.ReceiptFrame():
                deliveries.update(frame.delivery_ids)
                chunks.update(place[0] for place in frame.places if place is not None)
            case events.ChunkFrame():
                chunks.add(frame.chunk_id)
                planned.add(frame.chunk_id)
            case events.ChunkAttemptedFrame() | events.ChunkReleasedFrame():
                chunks.add(frame.chunk_id)
            case _:
                pass
    return FrameIds(deliveries, chunks, planned)
