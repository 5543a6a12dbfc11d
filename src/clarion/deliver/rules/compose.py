"""From a planned delivery and its rendered parts to the message a vendor builds its request from."""

from typing import Any

from clarion.domain import ids
from clarion.domain.channel import Channel
from clarion.domain.message import Message


def compose(
    delivery_id: bytes,
    tenant: str,
    channel: Channel,
    user_id: str,
    address: str,
    parts: dict[str, Any],
    attempt: int,
    category: str,
    expires_ms: int | None,
    metadata: dict[str, str] | None,
    place: tuple[bytes, int] | None = None,
) -> Message:
    """Return the message of one attempt; `place` is chunk and index of a broadcast's delivery."""
    notification = ids.notification_of(delivery_id)
    return Message(
        delivery_id=ids.write(ids.DELIVERY_PREFIX, delivery_id),
        notification_id=ids.write(ids.NOTIFICATION_PREFIX, notification),
        tenant=tenant,
        channel=channel,
        user_id=user_id,
        address=address,
        parts=parts,
        attempt=attempt,
        created_ms=ids.created_ms(notification),
        category=category,
        expires_ms=expires_ms,
        metadata=metadata or {},
        reference=ids.reference(delivery_id, place),
    )
