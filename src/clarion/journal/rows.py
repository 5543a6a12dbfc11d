"""Conversion between rows (planned deliveries and attempts, one at a time) and the columns of a frame."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from clarion.domain.channel import Channel
from clarion.domain.limits_processes import FRAME_BYTES_MAX
from clarion.domain.outcome import Outcome
from clarion.domain.planned import PlannedDelivery
from clarion.journal.codec import encode
from clarion.journal.events import AttemptedFrame, DeliverFrame
from clarion.ports.streams import Frame


class AttemptRow(NamedTuple):
    """One row of an `AttemptedFrame`, in the order of its columns after `channel`."""

    delivery_id: bytes
    tenant: str
    user_id: str
    address: str
    attempt: int
    provider: str
    vendor: str
    event: str
    reason: int
    outcome: Outcome
    started_ms: int
    finished_ms: int
    retry_ms: int | None
    dead: bytes | None
    chunk: tuple[bytes, int] | None
    item: tuple[str, int | None] = ("", None)


def deliver_frame(rows: Sequence[PlannedDelivery]) -> DeliverFrame:
    """Return the frame of these rows (at least one)."""
    return DeliverFrame(*map(list, zip(*rows, strict=True)))


def deliver_rows(frame: DeliverFrame) -> Iterable[PlannedDelivery]:
    """Yield the rows of a frame."""
    count = len(frame.delivery_ids)
    columns = [getattr(frame, name) for name in DeliverFrame.__struct_fields__[:-4]]
    nothing = [None] * count
    columns += [
        frame.steps or [""] * count,
        frame.fallbacks or nothing,
        frame.trails or nothing,
        frame.attachments or nothing,
    ]
    return map(PlannedDelivery._make, zip(*columns, strict=True))


def encode_delivery(row: PlannedDelivery) -> bytes:
    """Return the encoded frame of a single delivery, as timers and dead letters hold it."""
    return encode(deliver_frame([row]), 1)


def attempted_frame(channel: str, rows: Sequence[AttemptRow]) -> AttemptedFrame:
    """Return the frame of these rows (at least one) of one channel."""
    frame = AttemptedFrame(channel, *map(list, zip(*rows, strict=True)))
    if channel != Channel.INAPP:
        frame.items = []
    return frame


def cut_frames(topic: str, partition: int, rows: Sequence[PlannedDelivery], limit: int) -> list[Frame]:
    """Return the frames that carry these deliveries, at most `limit` per frame and fewer where deliveries are large."""
    frames: list[Frame] = []
    for start in range(0, len(rows), limit):
        part = rows[start : start + limit]
        payload = encode(deliver_frame(part), len(part))
        if len(payload) > FRAME_BYTES_MAX and len(part) > 1:
            frames += cut_frames(topic, partition, part, (len(part) + 1) // 2)
        else:
            frames.append(Frame(topic, partition, len(part), payload))
    return frames
