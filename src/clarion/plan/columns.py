"""What goes through planning: accepted notifications in, the columns of the plan out."""

from collections.abc import Iterable
from typing import NamedTuple

from clarion.domain.channel import Lane
from clarion.domain.decision import Skip
from clarion.journal.events import AcceptedFrame, PlannedFrame, Request
from clarion.journal.rows import DeliverRow
from clarion.plan.rules.decide import Planned
from clarion.ports.journal import Frame, Timer


class Accepted(NamedTuple):
    """One accepted notification with the lane it came on."""

    lane: Lane
    notification_id: bytes
    tenant: str
    accepted_ms: int
    request: Request


class Plan(NamedTuple):
    """What a batch amounts to: frames and timers to append together with the batch's commits."""

    frames: list[Frame]
    timers: list[Timer]
    counts: dict[tuple[str, str], int]
    """How many deliveries per (channel, `send` or `skip`)."""


def unpack(lane: Lane, frame: AcceptedFrame) -> Iterable[Accepted]:
    """Yield the notifications of a frame."""
    columns = zip(frame.notification_ids, frame.tenants, frame.accepted_ms, frame.requests, strict=True)
    return (Accepted(lane, *row) for row in columns)


class PlannedColumns:
    """Collects the flat columns of a `PlannedFrame`."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._notifications: list[tuple[bytes, str, int, Request, int | None]] = []
        self._deliveries: list[tuple[int, bytes, str, str, str, int, str]] = []
        self.counts: dict[tuple[str, str], int] = {}

    def notification(self, item: Accepted, scheduled_ms: int | None) -> int:
        """Add a notification and return its index."""
        row = (item.notification_id, item.tenant, item.accepted_ms, item.request, scheduled_ms)
        self._notifications.append(row)
        return len(self._notifications) - 1

    def delivery(self, index: int, row: DeliverRow, planned: Planned) -> None:
        """Add a delivery, planned or skipped, of the notification at an index."""
        reason, detail, verdict = 0, "", "send"
        if isinstance(planned.decision, Skip):
            reason, detail, verdict = int(planned.decision.reason), planned.decision.detail, "skip"
        channel = planned.channel.value
        self.counts[channel, verdict] = self.counts.get((channel, verdict), 0) + 1
        self._deliveries.append((index, row.delivery_id, row.user_id, channel, row.address, reason, detail))

    def frame(self) -> PlannedFrame:
        """Return the frame."""
        notifications = list(map(list, zip(*self._notifications, strict=True)))
        deliveries = list(map(list, zip(*self._deliveries, strict=True))) or [[] for _ in range(7)]
        return PlannedFrame(self._now_ms, *notifications, *deliveries)
