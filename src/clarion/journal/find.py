"""Finding an accepted request that no stage has come to yet."""

from collections.abc import Iterator

from clarion.domain import ids
from clarion.domain.channel import LANES
from clarion.domain.limits import JOURNAL_LOOK_AHEAD_MS, JOURNAL_LOOK_BACK_MS
from clarion.journal.codec import decode
from clarion.journal.events import AcceptedFrame
from clarion.journal.topics import GROUP_PLAN, accepted
from clarion.ports.journal import Journal, StoredFrame

SETTLED_FRAMES = 1_000
"""Frames behind the planner's position that the record stage may not have folded yet."""
FRAMES_READ = 256


def find_accepted(journal: Journal, notification_id: bytes, tenant: str) -> tuple[AcceptedFrame, int] | None:
    """Return the frame that holds a tenant's request and the request's index in it, or None.

    The id says when and in which partition to look, so few frames are read.
    """
    if ids.partition_of(notification_id) >= journal.partitions:
        return None
    for frame in _candidates(journal, notification_id):
        if notification_id not in frame.payload:
            continue
        event = decode(frame.payload)
        if isinstance(event, AcceptedFrame) and notification_id in event.notification_ids:
            index = event.notification_ids.index(notification_id)
            return (event, index) if event.tenants[index] == tenant else None
    return None


def _candidates(journal: Journal, notification_id: bytes) -> Iterator[StoredFrame]:
    """Yield the frames appended about when the id was made that planning has not long left behind."""
    partition, created_ms = ids.partition_of(notification_id), ids.created_ms(notification_id)
    planned = journal.committed(GROUP_PLAN, partition)
    for lane in LANES:
        topic = accepted(lane)
        settled = planned[topic].offset - SETTLED_FRAMES if topic in planned else 0
        first = journal.since(topic, partition, created_ms - JOURNAL_LOOK_BACK_MS, 1)
        if not first or first[0].appended_ms > created_ms + JOURNAL_LOOK_AHEAD_MS:
            continue
        for frame in journal.read(topic, partition, max(first[0].offset - 1, settled), FRAMES_READ):
            if frame.appended_ms > created_ms + JOURNAL_LOOK_AHEAD_MS:
                break
            yield frame
