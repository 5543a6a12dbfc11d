"""The response bodies of the read endpoints, and how they are built from rows."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec

from clarion.domain import ids
from clarion.domain.decision import REASON_NAMES
from clarion.domain.delivery_state import NAMES
from clarion.domain.history import REASONS, Attempt, Capture, Delivery, Notification
from clarion.domain.times import shown
from clarion.history.rules.timeline import Moment, attempts
from clarion.history.shapes_instances import InstanceOut
from clarion.journal.events import Request

_REQUEST = msgspec.msgpack.Decoder(Request)


class AttemptOut(msgspec.Struct, frozen=True):
    """One call to a provider. `repeated` counts how often it was started again after a crash: each may be a duplicate
    at the provider. `outcome` is None while it is under way."""

    attempt: int
    provider: str
    vendor: str
    outcome: str | None
    event: str
    reason: str | None
    detail: str
    vendor_message_id: str
    started_at: datetime
    finished_at: datetime | None
    retry_at: datetime | None
    repeated: int


class DeliveryOut(msgspec.Struct, frozen=True):
    """One notification to one user on one channel, with its attempts."""

    id: str
    channel: str
    user_id: str | None
    address: str
    state: str
    reason: str | None
    detail: str
    provider: str | None
    planned_at: datetime
    finished_at: datetime | None
    retry_at: datetime | None
    attempts: list[AttemptOut]


class DeliveryBrief(msgspec.Struct, frozen=True):
    """A delivery in a list of notifications."""

    id: str
    channel: str
    user_id: str | None
    state: str
    reason: str | None


class MomentOut(msgspec.Struct, frozen=True):
    """One line of the timeline; `user_id` is the recipient of the delivery, or the user who saw the notification."""

    at: datetime
    event: str
    user_id: str | None
    delivery_id: str | None
    channel: str | None
    attempt: int | None
    reason: str | None
    detail: str
    provider: str | None


class _Notification(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    status: str
    created_at: datetime
    priority: str
    template: str | None
    category: str | None
    scheduled_at: datetime | None
    states: dict[str, int]


class NotificationBrief(_Notification, frozen=True, kw_only=True, omit_defaults=True):
    """A notification in a list. `states` counts deliveries."""

    deliveries: Sequence[DeliveryBrief]


class NotificationOut(_Notification, frozen=True, kw_only=True, omit_defaults=True):
    """An accepted request and its results. `states` counts deliveries. A notification with a `workflow` has no
    template; `instances` are the workflow's runs, one per recipient."""

    deliveries: Sequence[DeliveryOut]
    workflow: str | None = None
    timeline: list[MomentOut] | None = None
    instances: list[InstanceOut] = []
    data: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None


class CaptureOut(msgspec.Struct, frozen=True):
    """A message that a sandbox provider stored instead of sending it."""

    delivery_id: str
    channel: str
    user_id: str | None
    address: str
    provider: str
    attempt: int
    captured_at: datetime
    content: msgspec.Raw


def request_of(row: Notification) -> Request:
    """Return the accepted request of a notification."""
    return _REQUEST.decode(row.request)


def reason_name(reason: int) -> str | None:
    """Return the stable name of a reason, None for 'no reason'."""
    return REASON_NAMES[REASONS[reason]] if reason else None


def delivery_text(id_: bytes) -> str:
    """Return the public form of a delivery id."""
    return ids.write(ids.DELIVERY_PREFIX, id_)


def notification_out(
    row: Notification,
    status: str,
    deliveries: Sequence[DeliveryOut],
    story: list[Moment],
    instances: list[InstanceOut],
) -> NotificationOut:
    """Return a notification with its timeline, data and metadata."""
    request = request_of(row)
    return NotificationOut(
        **_shared(row, status, [delivery.state for delivery in deliveries]),
        deliveries=deliveries,
        workflow=request.workflow or None,
        timeline=[_moment_out(moment) for moment in story],
        instances=instances,
        data=request.data,
        metadata=request.metadata,
    )


def notification_brief(row: Notification, status: str, deliveries: Sequence[DeliveryBrief]) -> NotificationBrief:
    """Return a notification for a list."""
    shared = _shared(row, status, [delivery.state for delivery in deliveries])
    return NotificationBrief(**shared, deliveries=deliveries)


def _shared(row: Notification, status: str, states: Iterable[str]) -> dict[str, Any]:
    return {
        "id": ids.write(ids.NOTIFICATION_PREFIX, row.id),
        "status": status,
        "created_at": shown(row.accepted_ms),
        "priority": row.lane,
        "template": row.template or None,
        "category": row.category or None,
        "scheduled_at": shown(row.scheduled_ms),
        "states": dict(Counter(states)),
    }


def delivery_brief(row: Delivery) -> DeliveryBrief:
    """Return a delivery for a list."""
    return DeliveryBrief(
        delivery_text(row.id), row.channel, row.user_id or None, NAMES[row.state], reason_name(row.reason)
    )


def delivery_out(row: Delivery, recorded: Iterable[Attempt]) -> DeliveryOut:
    """Return a delivery with its attempts."""
    return DeliveryOut(
        id=delivery_text(row.id),
        channel=row.channel,
        user_id=row.user_id or None,
        address=row.address,
        state=NAMES[row.state],
        reason=reason_name(row.reason),
        detail=row.detail,
        provider=row.provider or None,
        planned_at=shown(row.planned_ms),
        finished_at=shown(row.finished_ms),
        retry_at=shown(row.retry_ms),
        attempts=[_attempt_out(attempt) for attempt in attempts(row, recorded)],
    )


def capture_out(row: Capture) -> CaptureOut:
    """Return a captured message."""
    return CaptureOut(
        delivery_text(row.delivery_id), row.channel, row.user_id or None, row.address, row.provider, row.attempt,
        shown(row.captured_ms), msgspec.Raw(row.content),
    )  # fmt: skip


def _attempt_out(row: Attempt) -> AttemptOut:
    return AttemptOut(
        attempt=row.attempt,
        provider=row.provider,
        vendor=row.vendor,
        outcome=row.outcome or None,
        event=row.event,
        reason=reason_name(row.reason),
        detail=row.detail,
        vendor_message_id=row.vendor_message_id,
        started_at=shown(row.started_ms),
        finished_at=shown(row.finished_ms or None),
        retry_at=shown(row.retry_ms),
        repeated=row.repeats,
    )


def _moment_out(moment: Moment) -> MomentOut:
    row = moment.delivery
    return MomentOut(
        at=shown(moment.at_ms),
        event=moment.event,
        user_id=(moment.user_id if row is None else row.user_id) or None,
        delivery_id=None if row is None else delivery_text(row.id),
        channel=None if row is None else row.channel,
        attempt=moment.attempt or None,
        reason=reason_name(moment.reason),
        detail=moment.detail,
        provider=moment.provider or None,
    )
