"""What goes through planning: notifications in, the columns of the plan out."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from clarion.domain.attachment import Attachment
from clarion.domain.channel import NAMES, Lane
from clarion.domain.decision import Hold, Merge, Send, Skip
from clarion.domain.route import Route
from clarion.journal.events import AcceptedFrame, PlannedFrame, Request
from clarion.plan.rules.routing import Place
from clarion.plan.rules.setting import Planned


class Accepted(NamedTuple):
    """One notification to plan, with the lane it came on.

    `step` names the workflow step that sends. `route`, if any, takes the place of the category's. `since_ms` is when it was
    held first (Unix ms), None when it never was; `place` is then where in a route that was, and `held` at which addresses.
    `why` says why a route has come here, `instead_of` from which place, and when that was sent (Unix ms). `needless` says why
    nothing has to be sent any more.
    """

    lane: Lane
    notification_id: bytes
    tenant: str
    accepted_ms: int
    request: Request
    step: str = ""
    route: Route | None = None
    since_ms: int | None = None
    place: Place | None = None
    held: Sequence[str] = ()
    why: str = ""
    instead_of: tuple[Place, int] | None = None
    needless: str = ""


def unpack(lane: Lane, frame: AcceptedFrame) -> Iterable[Accepted]:
    """Yield the notifications of a frame."""
    columns = zip(frame.notification_ids, frame.tenants, frame.accepted_ms, frame.requests, strict=True)
    return (Accepted(lane, *row) for row in columns)


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

    def notification(self, item: Accepted, scheduled_ms: int | None) -> int:
        """Add a notification and return its index. What a step sends was told of whole where its workflow started; a step
        knows one recipient only, and its partition may be recorded before that one. Of files only the names are told."""
        request = None if item.step else item.request
        if request is not None and request.attachments:
            named = [Attachment(file.filename, file.media, cid=file.cid) for file in request.attachments]
            request = msgspec.structs.replace(request, attachments=named)
        self._notifications.append((item.notification_id, item.tenant, item.accepted_ms, request, scheduled_ms))
        return len(self._notifications) - 1

    def setting(self, facts: bytes) -> int:
        """Return the index of the shared facts behind deliveries, kept once a frame."""
        return self._settings.setdefault(facts, len(self._settings))

    def delivery(
        self,
        index: int,
        item: Accepted,
        delivery_id: bytes,
        user_id: str,
        planned: Planned,
        profile_id: int,
        setting: int,
    ) -> None:
        """Add a delivery, whatever was decided about it, of the notification at an index."""
        decision, channel, held_ms = planned.decision, NAMES[planned.channel], None
        if isinstance(decision, Send):
            reason, detail, verdict = 0, item.why, "send"
        else:
            reason, detail, verdict = int(decision.reason), decision.detail, _VERDICTS[type(decision)]
            if isinstance(decision, Hold):
                held_ms = decision.until_ms
        key = (channel, verdict)
        self.counts[key] = self.counts.get(key, 0) + 1
        self._deliveries.append((
            index, delivery_id, user_id, channel, planned.address, reason, detail, held_ms, item.step, profile_id,
            setting,
        ))  # fmt: skip

    def frame(self) -> PlannedFrame:
        """Return the frame."""
        notifications = list(map(list, zip(*self._notifications, strict=True)))
        columns = list(map(list, zip(*self._deliveries, strict=True))) or [[] for _ in range(11)]
        *flat, setting_of = columns
        frame = PlannedFrame(self._now_ms, *notifications, *flat)
        frame.settings, frame.setting_of = list(self._settings), setting_of
        return frame


_VERDICTS = {Skip: "skip", Hold: "hold", Merge: "merge"}
