"""Lookup of an accepted request that no stage has processed yet."""

import asyncio
from collections.abc import Sequence

from clarion.domain import ids
from clarion.domain.channel import LANES
from clarion.domain.errors import CorruptFrame, Overloaded, UnknownFrame
from clarion.domain.limits_processes import JOURNAL_LOOK_AHEAD_MS, JOURNAL_LOOK_BACK_MS
from clarion.journal.codec import decode
from clarion.journal.events import AcceptedFrame, Event
from clarion.journal.topics import GROUP_PLAN, accepted
from clarion.ports.stage_store import Position, StageStore
from clarion.ports.streams import StoredFrame, StreamOffset, Streams

SETTLED_FRAMES = 1_000
"""Frames before the planner's position that the record stage may not have folded yet."""
FRAMES_READ = 256
RETRY_AFTER_S = 60


async def find_accepted(
    streams: Streams, store: StageStore, notification_id: bytes, tenant: str
) -> tuple[AcceptedFrame, int] | None:
    """Return the frame that holds a tenant's request and the request's index in it, or None.

    The id holds the time and the slot, so few frames are read. Raises `Overloaded` when the request may be in a
    frame that only another build can read, so that this build cannot answer.
    """
    for frame in await _candidates(streams, store, notification_id):
        if notification_id not in frame.payload:
            continue
        event = _decoded(frame)
        if isinstance(event, AcceptedFrame) and notification_id in event.notification_ids:
            index = event.notification_ids.index(notification_id)
            return (event, index) if event.tenants[index] == tenant else None
    return None


def _decoded(frame: StoredFrame) -> Event | None:
    try:
        return decode(frame.payload)
    except CorruptFrame:
        return None  # planning logs a damaged frame; its requests are never sent
    except UnknownFrame as error:
        raise Overloaded(
            "the notification waits for another version of Clarion", retry_after_s=RETRY_AFTER_S
        ) from error


async def _candidates(streams: Streams, store: StageStore, notification_id: bytes) -> Sequence[StoredFrame]:
    """Return the frames appended around the id's time, except those that planning passed over `SETTLED_FRAMES` frames
    ago."""
    partition = ids.partition_of(notification_id, store.partitions)
    created_ms = ids.created_ms(notification_id)
    carried = [accepted(lane) for lane in LANES]
    reads = (streams.read_since(topic, partition, created_ms - JOURNAL_LOOK_BACK_MS, 1) for topic in carried)
    planned, firsts = await asyncio.gather(store.positions(GROUP_PLAN, [partition]), asyncio.gather(*reads))
    places = [
        StreamOffset(topic, partition, max(first[0].offset - 1, _planned_offset(planned[partition].get(topic))))
        for topic, first in zip(carried, firsts, strict=True)
        if first and first[0].appended_ms <= created_ms + JOURNAL_LOOK_AHEAD_MS
    ]
    found = await streams.read_many(places, FRAMES_READ) if places else []
    return [frame for frames in found for frame in frames if frame.appended_ms <= created_ms + JOURNAL_LOOK_AHEAD_MS]


def _planned_offset(planned: Position | None) -> int:
    return 0 if planned is None else planned.offset - SETTLED_FRAMES
