"""From frames of the deliver topics to their deliveries."""

from collections.abc import Iterable

from clarion.domain import ids
from clarion.domain.delivery_state import State
from clarion.domain.planned import PlannedDelivery
from clarion.journal.events import ChunkFrame, DeliverFrame, Event
from clarion.journal.rows import deliver_rows


def rows_of(event: Event) -> list[PlannedDelivery]:
    """Return the deliveries of a frame; a chunk's skipped members are left out."""
    if isinstance(event, DeliverFrame):
        return list(deliver_rows(event))
    if isinstance(event, ChunkFrame):
        return list(_chunk_rows(event))
    return []


def _chunk_rows(chunk: ChunkFrame) -> Iterable[PlannedDelivery]:
    broadcast = ids.notification_of(chunk.chunk_id)
    template = chunk.content if isinstance(chunk.content, str) else ""
    for index, state in enumerate(chunk.states):
        if state != State.PLANNED:
            continue
        user_id, address = chunk.user_ids[index], chunk.addresses[index]
        yield PlannedDelivery(
            delivery_id=ids.delivery_id(broadcast, user_id, chunk.channel, address),
            tenant=chunk.tenant,
            user_id=user_id,
            address=address,
            locale=chunk.locale,
            template=template,
            category=chunk.category,
            data=chunk.data,
            user=chunk.users[index] if chunk.users else None,
            attempt=1,
            expires_ms=chunk.expires_ms,
            metadata=chunk.metadata,
            ordering_key=None,
            chunk=(chunk.chunk_id, index),
        )
