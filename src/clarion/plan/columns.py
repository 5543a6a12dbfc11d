"""Items and columns of planning: notifications in, the columns of the plan out."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from clarion.domain.attachment import Attachment
from clarion.domain.channel import NAMES, Lane
from clarion.domain.decision import Hold, Merge, Send, Skip
from clarion.domain.route import Route
from clarion.journal.events import AcceptedFrame, PlannedFrame, Request
from clarion.plan.rules.request_facts import Planned
from clarion.plan.rules.routing import RoutePosition


class PlanItem(NamedTuple):
    """One notification to plan, with its lane. `step` names the workflow step that sends. `route`, if any, replaces the
    category's. `since_ms` is when it was first held (Unix ms), None when it never was; `place` is then its place in the
    route, and `held` the held addresses. `cause` is why a route continues here; `instead_of` is the place it continues
    from, and when that was sent (Unix ms). `needless` is why nothing has to be sent any more.
    """

    lane: Lane
    notification_id: bytes
    tenant: str
    accepted_ms: int
    request: Request
    step: str = ""
    route: Route | None = None
    since_ms: int | None = None
    place: RoutePosition | None = None
    held: Sequence[str] = ()
    cause: str = ""
    instead_of: tuple[RoutePosition, int] | None = None
    needless: str = ""


def unpack(lane: Lane, frame: AcceptedFrame) -> Iterable[PlanItem]:
    """Yield the notifications of a frame."""
    columns = zip(frame.notification_ids, frame.tenants, frame.accepted_ms, frame.requests, strict=True)
    return (PlanItem(lane, *row) for row in columns)


class PlannedColumns:
    """Collects the flat columns of a `PlannedFrame`."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._notifications: list[tuple[bytes, str, int, Request | None, int | None]] = []
        self._deliveries: list[tuple[int, bytes, str, str, str, int, str, int | None, str, int, int]] = []
        self._settings: dict[bytes, int] = {}
        self.counts: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self._notifications)

    def notification(self, item: PlanItem, scheduled_ms: int | None) -> int:
        """Add a notification and return its index. The request of a step's send is left out: the workflow's start has
        recorded it whole, while a step has only one recipient, and its partition may be recorded before that of the
        start. Attachments are recorded without their content."""
        request = None if item.step else item.request
        if request is not None and request.attachments:
            named = [Attachment(file.filename, file.media, cid=file.cid) for file in request.attachments]
            request = msgspec.structs.replace(request, attachments=named)
        self._notifications.append((item.notification_id, item.tenant, item.accepted_ms, request, scheduled_ms))
        return len(self._notifications) - 1

    def request_facts(self, facts: bytes) -> int:
        """Return the index of the deliveries' shared facts, which are stored once per frame."""
        return self._settings.setdefault(facts, len(self._settings))

    def delivery(
        self,
        index: int,
        item: PlanItem,
        delivery_id: bytes,
        user_id: str,
        planned: Planned,
        profile_id: int,
        request_facts: int,
    ) -> None:
        """Add a delivery of the notification at an index, with its decision."""
        decision, channel, held_ms = planned.decision, NAMES[planned.channel], None
        if isinstance(decision, Send):
            reason, detail, verdict = 0, item.cause, "send"
        else:
            reason, detail, verdict = int(decision.reason), decision.detail, _VERDICTS[type(decision)]
            if isinstance(decision, Hold):
                held_ms = decision.until_ms
        key = (channel, verdict)
        self.counts[key] = self.counts.get(key, 0) + 1
        self._deliveries.append((
            index, delivery_id, user_id, channel, planned.address, reason, detail, held_ms, item.step, profile_id,
            request_facts,
        ))  # fmt: skip

    def frame(self) -> PlannedFrame:
        """Return the frame."""
        notifications = list(map(list, zip(*self._notifications, strict=True)))
        columns = list(map(list, zip(*self._deliveries, strict=True))) or [[] for _ in range(11)]
        *flat, request_facts_of = columns
        frame = PlannedFrame(self._now_ms, *notifications, *flat)
        frame.request_facts, frame.request_facts_of = list(self._settings), request_facts_of
        return frame


_VERDICTS = {Skip: "skip", Hold: "hold", Merge: "merge"}
