"""Request and response bodies of the endpoints for notifications and broadcasts."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from clarion.domain.channel import Channel, Lane
from clarion.domain.limits import (
    ADDRESS_CHARS_MAX,
    BATCH_ITEMS_MAX,
    CANCELLATION_KEY_CHARS_MAX,
    IDEMPOTENCY_KEY_CHARS_MAX,
    KEY_CHARS_MAX,
    METADATA_KEYS_MAX,
    METADATA_VALUE_CHARS_MAX,
    ORDERING_KEY_CHARS_MAX,
)
from clarion.domain.limits_content import (
    ATTACHMENT_NAME_CHARS_MAX,
    ATTACHMENTS_MAX,
    CID_CHARS_MAX,
    CONTENT_TYPE_CHARS_MAX,
)

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_CHARS_MAX)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Metadata = Annotated[
    dict[Key, Annotated[str, msgspec.Meta(max_length=METADATA_VALUE_CHARS_MAX)]],
    msgspec.Meta(max_length=METADATA_KEYS_MAX),
]
CancellationKey = Annotated[str, msgspec.Meta(min_length=1, max_length=CANCELLATION_KEY_CHARS_MAX)]
IdempotencyKey = Annotated[str, msgspec.Meta(min_length=1, max_length=IDEMPOTENCY_KEY_CHARS_MAX)]


class RecipientIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A recipient: a user by `user_id`, or the person behind the given contacts."""

    user_id: Key | None = None
    email: str | None = None
    phone: str | None = None
    whatsapp: str | None = None
    chat: str | None = None
    webhook: str | None = None
    push: str | None = None
    webpush: str | None = None
    locale: Annotated[str, msgspec.Meta(max_length=35)] = ""
    zone: Annotated[str, msgspec.Meta(max_length=64)] = ""


class _Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    template: Key | None = None
    workflow: Key | None = None
    data: dict[str, Any] = {}
    channels: Annotated[list[Channel], msgspec.Meta(min_length=1, max_length=8)] | None = None
    category: Key | None = None
    priority: Lane | None = None
    send_at: Instant | None = None
    expires_at: Instant | None = None
    metadata: Metadata | None = None
    idempotency_key: IdempotencyKey | None = None


class AttachmentIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A file for the e-mails of a notification: its `content` in base64, or the `url` from which it is fetched at
    sending time. With an `inline_cid` the HTML shows it as `cid:<inline_cid>`."""

    filename: Annotated[str, msgspec.Meta(min_length=1, max_length=ATTACHMENT_NAME_CHARS_MAX)]
    content: bytes | None = None
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=ADDRESS_CHARS_MAX)] | None = None
    content_type: Annotated[str, msgspec.Meta(min_length=1, max_length=CONTENT_TYPE_CHARS_MAX)] | None = None
    inline_cid: Annotated[str, msgspec.Meta(min_length=1, max_length=CID_CHARS_MAX)] | None = None


class NotificationIn(_Content, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One notification. `to` is a user id, an inline recipient, or a list of up to 1,000 of them. Its
    `cancellation_key` cancels it without its id."""

    to: str | RecipientIn | list[str | RecipientIn]
    ordering_key: Annotated[str, msgspec.Meta(min_length=1, max_length=ORDERING_KEY_CHARS_MAX)] | None = None
    cancellation_key: CancellationKey | None = None
    attachments: Annotated[list[AttachmentIn], msgspec.Meta(max_length=ATTACHMENTS_MAX)] = []


class BatchIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 notifications, each accepted or refused on its own."""

    notifications: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=BATCH_ITEMS_MAX)]


class AudienceIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Exactly one of: all users of the tenant, the members of a topic, or the users that a segment matches."""

    all: bool = False
    topic: Key | None = None
    segment: Key | None = None


class BroadcastIn(_Content, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A notification to an audience. `local_time` (`2026-12-01T09:00`, without a zone) sends it to each recipient at
    that time in their own zone."""

    audience: AudienceIn
    local_time: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?$")] | None = None


class NotificationOut(msgspec.Struct, frozen=True):
    """The response to an accepted notification; `status` is `accepted` or `scheduled`."""

    id: str
    status: str
    accepted_at: datetime


class ProblemOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why one item of a batch was refused; `field` is its path inside the item. The item may be sent again after
    `retry_after_s` seconds."""

    code: str
    detail: str
    field: str | None = None
    retry_after_s: int | None = None


class BatchResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of one item of a batch, in the order of the request; `status` is `accepted`, `scheduled` or
    `refused`."""

    status: str
    id: str | None = None
    accepted_at: datetime | None = None
    error: ProblemOut | None = None
    replayed: bool = False


class BatchOut(msgspec.Struct, frozen=True):
    """The response to a batch."""

    results: list[BatchResult]


class BroadcastOut(msgspec.Struct, frozen=True):
    """The response to a broadcast call; `status` is `running`, `paused`, `cancelled` or `done`."""

    id: str
    status: str


class CancelOut(msgspec.Struct, frozen=True):
    """The cancellation is durable: deliveries that were not being sent yet will not be sent."""

    id: str
    status: str


class CancelByKeyIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cancels every notification that carries the key."""

    cancellation_key: CancellationKey


class CancelByKeyOut(msgspec.Struct, frozen=True):
    """The cancellation is durable for the given number of notifications; with `more`, the same call cancels the
    rest."""

    cancellation_key: str
    notifications: int
    more: bool
