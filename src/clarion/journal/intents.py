"""Open intents: what a delivery worker keeps in the store of attempts it intended and settled, until their frames are done.

The same is told on `outcomes` for the record stage, with all that history needs. This is the part that whoever takes
over a partition needs, in few bytes and in one place, so that no stream has to be searched.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from clarion.domain.delivery_state import Event as Happened
from clarion.domain.errors import UnknownFrame
from clarion.journal.events import AttemptedFrame, ChunkAttemptedFrame, Event, IntentFrame

Run = tuple[bytes, int, int, list[str]]
"""First attempts of an unbroken slice of a chunk: chunk id, first index, how many, and their providers or nothing."""
Slice = tuple[bytes, int, bytes]
"""First attempts of a chunk that were accepted: chunk id, first index, a byte for each from there, 0 where it was not."""


class OpenIntents(msgspec.Struct, array_like=True):
    """What one commit intended and settled, as columns; new ones may only be added at the end.

    `intended` are the delivery ids of single attempts with their numbers in `attempts` and, where several accounts might
    have been used, their `providers`. `settled` are those with a result, and `lost` the places in it of those that were
    recorded as lost and are followed by another attempt.
    """

    intended: list[bytes]
    attempts: list[int]
    providers: list[str]
    runs: list[Run]
    settled: list[bytes]
    settled_attempts: list[int]
    lost: list[int]
    sent: list[Slice]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(OpenIntents)


def encode_intents(told: Iterable[Event]) -> bytes:
    """Return what frames of one channel on `outcomes` say of attempts; empty when they say nothing."""
    kept = OpenIntents([], [], [], [], [], [], [], [])
    for event in told:
        if isinstance(event, IntentFrame):
            _intend(kept, event)
        elif isinstance(event, AttemptedFrame):
            first = len(kept.settled)
            kept.settled += event.delivery_ids
            kept.settled_attempts += event.attempts
            if Happened.AMBIGUOUS in event.events:
                follows = enumerate(zip(event.events, event.retry_ms, strict=True), first)
                kept.lost += [at for at, (name, ms) in follows if name == Happened.AMBIGUOUS and ms is None]
        elif isinstance(event, ChunkAttemptedFrame):
            kept.sent.append((event.chunk_id, event.first_index, event.states))
    return _ENCODER.encode(kept) if kept.intended or kept.runs or kept.settled or kept.sent else b""


def decode_intents(payload: bytes) -> OpenIntents:
    """Return what one commit intended and settled. Raises `UnknownFrame` when another build wrote it so that this one cannot
    read it: without it nobody can say what was sent."""
    try:
        return _DECODER.decode(payload)
    except msgspec.MsgspecError as error:
        raise UnknownFrame(f"open intents of another build cannot be read: {error}") from error


def _intend(kept: OpenIntents, event: IntentFrame) -> None:
    if event.chunk_id is not None:
        kept.runs.append((event.chunk_id, event.first_index, len(event.delivery_ids), event.providers))
        return
    if event.providers and not kept.providers:
        kept.providers = [""] * len(kept.intended)
    kept.intended += event.delivery_ids
    kept.attempts += event.attempts
    if kept.providers or event.providers:
        kept.providers += event.providers or [""] * len(event.delivery_ids)
