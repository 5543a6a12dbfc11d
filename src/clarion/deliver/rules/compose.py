"""Builds the message that a vendor's request is made from, out of a planned delivery and its rendered parts."""

from typing import Any

from clarion.domain import ids
from clarion.domain.channel import Channel
from clarion.domain.message import Message
from clarion.domain.planned import PlannedDelivery
from clarion.domain.trail import call_number


def compose(planned: PlannedDelivery, channel: Channel, parts: dict[str, Any]) -> Message:
    """Return the message of the delivery's attempt."""
    delivery_id = planned.delivery_id
    notification = ids.notification_of(delivery_id)
    return Message(
        delivery_id=ids.write(ids.DELIVERY_PREFIX, delivery_id),
        notification_id=ids.write(ids.NOTIFICATION_PREFIX, notification),
        tenant=planned.tenant,
        channel=channel,
        user_id=planned.user_id,
        address=planned.address,
        parts=parts,
        attempt=call_number(planned.trail, planned.attempt),
        created_ms=ids.created_ms(notification),
        category=planned.category,
        expires_ms=planned.expires_ms,
        metadata=planned.metadata or {},
        reference=ids.reference(delivery_id, planned.chunk),
    )
