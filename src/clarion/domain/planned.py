"""A planned delivery: one value from planning to its last attempt."""

from typing import Any, NamedTuple

from clarion.domain.attachment import Attachment
from clarion.domain.trail import Trail


class PlannedDelivery(NamedTuple):
    """A message to send to one address on one channel, with its attempts so far. Its fields are the columns of a
    `DeliverFrame`, in their order.

    `template` is a template's key, `user` the user's data that it reads, `attempt` the number of the attempt to make.
    `chunk` is the chunk id and index of a broadcast's delivery. `step` names the workflow step that sends. `fallback`
    is the encoded frame with which a route continues when the delivery ends unsent. `trail` is None before the first
    attempt.
    """

    delivery_id: bytes
    tenant: str
    user_id: str
    address: str
    locale: str
    template: str
    category: str
    data: dict[str, Any]
    user: dict[str, Any] | None
    attempt: int
    expires_ms: int | None
    metadata: dict[str, str] | None
    ordering_key: str | None
    chunk: tuple[bytes, int] | None
    step: str = ""
    fallback: bytes | None = None
    trail: Trail | None = None
    attachments: list[Attachment] | None = None
