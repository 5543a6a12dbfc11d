"""Finding an accepted request that no stage has come to yet."""

from clarion.domain import ids
from clarion.domain.channel import LANES
from clarion.domain.limits import JOURNAL_LOOK_BACK_MS
from clarion.journal.codec import decode
from clarion.journal.events import AcceptedFrame
from clarion.journal.topics import accepted
from clarion.ports.journal import Journal


def find_accepted(journal: Journal, notification_id: bytes, tenant: str) -> tuple[AcceptedFrame, int] | None:
    """Return the frame that holds a tenant's request and the request's index in it, or None.

    The id says when and in which partition to look, so few frames are read.
    """
    partition = ids.partition_of(notification_id)
    from_ms = ids.created_ms(notification_id) - JOURNAL_LOOK_BACK_MS
    if partition >= journal.partitions:
        return None
    for lane in LANES:
        for frame in journal.since(accepted(lane), partition, from_ms):
            if notification_id not in frame.payload:
                continue
            event = decode(frame.payload)
            if isinstance(event, AcceptedFrame) and notification_id in event.notification_ids:
                index = event.notification_ids.index(notification_id)
                return (event, index) if event.tenants[index] == tenant else None
    return None
