"""Open intents: a delivery worker's records of attempts it intended and settled, stored until their frames are
committed.

The record stage gets the same facts on `outcomes`, with all that history needs. Open intents hold only the part that
the next owner of a partition needs, in few bytes and in one place, so that no stream has to be searched.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from clarion.domain.delivery_state import Event as Happened
from clarion.domain.errors import UnknownFrame
from clarion.journal.events import AttemptedFrame, ChunkAttemptedFrame, Event, IntentFrame

Run = tuple[bytes, int, int, list[str]]
"""First attempts of a contiguous slice of a chunk: chunk id, first index, count, and their providers or nothing."""
Slice = tuple[bytes, int, bytes]
"""First attempts of a chunk that were accepted: chunk id, first index, one byte per delivery from there, 0 if not
accepted."""


class OpenIntents(msgspec.Struct, array_like=True):
    """The attempts that one commit intended and settled, as columns; new columns may only be added at the end.

    `intended` are the delivery ids of single attempts with their numbers in `attempts` and, where several accounts might
    have been used, their `providers`. `settled` are those with a result, and `lost` the indexes in it of those that
    were recorded as lost and are followed by another attempt.
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


def encode_intents(events: Iterable[Event]) -> bytes:
    """Return the encoded intents and results in frames of one channel on `outcomes`; empty when there are none."""
    intents = OpenIntents([], [], [], [], [], [], [], [])
    for event in events:
        if isinstance(event, IntentFrame):
            _intend(intents, event)
        elif isinstance(event, AttemptedFrame):
            first = len(intents.settled)
            intents.settled += event.delivery_ids
            intents.settled_attempts += event.attempts
            if Happened.AMBIGUOUS in event.events:
                follows = enumerate(zip(event.events, event.retry_ms, strict=True), first)
                intents.lost += [at for at, (name, ms) in follows if name == Happened.AMBIGUOUS and ms is None]
        elif isinstance(event, ChunkAttemptedFrame):
            intents.sent.append((event.chunk_id, event.first_index, event.states))
    return _ENCODER.encode(intents) if intents.intended or intents.runs or intents.settled or intents.sent else b""


def decode_intents(payload: bytes) -> OpenIntents:
    """Return the attempts that one commit intended and settled. Raises `UnknownFrame` when another build wrote them in
    a format that this one cannot read: without them the attempts made are unknown."""
    try:
        return _DECODER.decode(payload)
    except msgspec.MsgspecError as error:
        raise UnknownFrame(f"open intents of another build cannot be read: {error}") from error


def _intend(intents: OpenIntents, event: IntentFrame) -> None:
    if event.chunk_id is not None:
        intents.runs.append((event.chunk_id, event.first_index, len(event.delivery_ids), event.providers))
        return
    if event.providers and not intents.providers:
        intents.providers = [""] * len(intents.intended)
    intents.intended += event.delivery_ids
    intents.attempts += event.attempts
    if intents.providers or event.providers:
        intents.providers += event.providers or [""] * len(event.delivery_ids)
