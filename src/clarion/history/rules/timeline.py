"""The history of a notification: its status, the attempts of its deliveries, and all events in order."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from clarion.domain.delivery_state import NAMES, TERMINAL, Event, State
from clarion.domain.history import Attempt, Delivery, Instance, Notification
from clarion.domain.recorded_attempts import FITTED, RECORDED, acceptance

_NO_CALL: Final = RECORDED | {
    Event.EXPIRED, Event.CANCELLED, Event.CONFIRMED, Event.BOUNCED, Event.REPLAYED, Event.HELD, Event.RELEASED,
    Event.SKIPPED, Event.MERGED, Event.FOLLOWED, Event.PARKED,
}  # fmt: skip
"""Events that are no attempt: no provider was called."""


class Moment(msgspec.Struct, frozen=True):
    """One event at a time in Unix milliseconds; `delivery` is None for the notification itself; `user_id` is the user
    who saw it."""

    at_ms: int
    event: str
    delivery: Delivery | None = None
    attempt: int = 0
    reason: int = 0
    detail: str = ""
    provider: str = ""
    user_id: str = ""


def attempts(row: Delivery, recorded: Iterable[Attempt]) -> list[Attempt]:
    """Return the attempts of a delivery in order: those with rows of their own, the accepted one and the one under
    way."""
    recorded = list(recorded)
    made = [attempt for attempt in recorded if attempt.event not in _NO_CALL]
    if row.accepted_attempt:
        made.append(acceptance(row))
    made = _with_fitting(made, recorded)
    if row.attempt > max((attempt.attempt for attempt in made), default=0) and row.state is State.SENDING:
        started_ms = row.started_ms or row.planned_ms
        made.append(
            Attempt(
                row.id, row.tenant, row.attempt, 0, started_ms, Event.INTENT, "", 0, "", row.provider, row.vendor, "",
                None, row.repeats,
            )
        )  # fmt: skip
    return sorted(made, key=lambda attempt: (attempt.attempt, attempt.finished_ms))


def _with_fitting(shown: Iterable[Attempt], recorded: Iterable[Attempt]) -> list[Attempt]:
    """Return the shown rows, each accepted attempt with the detail of how its message was changed to fit."""
    fitted = {(one.delivery_id, one.attempt): one.detail for one in recorded if one.event == FITTED}
    listed = [one for one in shown if one.event != FITTED]
    if not fitted:
        return listed
    return [
        msgspec.structs.replace(one, detail=fitted.get((one.delivery_id, one.attempt), one.detail))
        if one.event == Event.ACCEPTED
        else one
        for one in listed
    ]


def running(recipients: int, instances: Sequence[Instance]) -> bool:
    """Return whether a workflow notification with the given number of recipients is still running: a recipient without
    a recorded instance is about to start."""
    return len(instances) < recipients or any(one.ended_ms is None for one in instances)


def status(
    notification: Notification | None, rows: Sequence[Delivery], cancelled_ms: int | None, *, running: bool = False
) -> str:
    """Return `accepted`, `scheduled`, `in_progress`, `completed` or `cancelled`; `running`: workflow instances are
    running."""
    planned = notification is not None and notification.planned_ms is not None
    if running and planned:
        return "in_progress"
    if cancelled_ms is not None and is_withdrawn(rows):
        return "cancelled"
    if rows and any(row.state not in TERMINAL for row in rows):
        return "in_progress"
    if rows or planned:
        return "completed"
    return "scheduled" if notification is not None else "accepted"


def is_withdrawn(rows: Sequence[Delivery]) -> bool:
    """Return whether a cancellation stops all of these deliveries: a held one is not sent when its time comes."""
    return all(row.state in (State.CANCELLED, State.HELD) for row in rows)


def moments(
    notification: Notification,
    rows: Sequence[Delivery],
    recorded: Iterable[Attempt],
    cancelled_ms: int | None,
    seen: Iterable[tuple[str, int]] = (),
) -> list[Moment]:
    """Return all events of a notification and its deliveries, in order of time; `seen` has the users who saw it and
    when."""
    story = [Moment(notification.accepted_ms, "accepted")]
    if notification.scheduled_ms is not None:
        story.append(Moment(notification.accepted_ms, "scheduled"))
    if cancelled_ms is not None:
        story.append(Moment(cancelled_ms, "cancel_requested"))
    by_id = {row.id: row for row in rows}
    recorded = list(recorded)
    held = {attempt.delivery_id for attempt in recorded if attempt.event == Event.HELD}
    for row in rows:
        ended = row.state in (State.SKIPPED, State.MERGED) and row.id not in held
        what, reason, detail = (NAMES[row.state], row.reason, row.detail) if ended else ("planned", 0, "")
        story.append(Moment(row.planned_ms, what, row, 0, reason, detail))
    happened = [*(acceptance(row) for row in rows if row.accepted_attempt), *recorded]
    happened = [attempt for attempt in _with_fitting(happened, recorded) if attempt.delivery_id in by_id]
    story += [_moment(by_id[attempt.delivery_id], attempt) for attempt in happened]
    story += [Moment(seen_ms, "seen", user_id=user_id) for user_id, seen_ms in seen]
    return sorted(story, key=lambda moment: moment.at_ms)


def _moment(row: Delivery, recorded: Attempt) -> Moment:
    event = recorded.event if recorded.applied else f"late_{recorded.event}"
    return Moment(
        recorded.finished_ms, event, row, recorded.attempt, recorded.reason, recorded.detail, recorded.provider
    )
