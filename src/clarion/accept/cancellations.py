"""Stage results that cancel notifications, and the waits that make them cancellable by a key."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.limits import CANCELLATION_KEY_TTL_MS, WAIT_MS_MAX
from clarion.journal import topics
from clarion.journal.codec import encode
from clarion.journal.events import CancelledFrame, Request
from clarion.journal.signals import cancel_key, signal
from clarion.ports.journal_cells import Wait, WaitEnd
from clarion.ports.stage_store import AcceptState, Cancellation, PlanState, StageResult
from clarion.ports.streams import Frame


class Subject(NamedTuple):
    """A notification or broadcast to cancel, and its partition."""

    subject_id: bytes
    partition: int


def key_wait(tenant: str, notification_id: bytes, partition: int, accepted_ms: int, request: Request) -> Wait | None:
    """Return the wait that finds a notification of a partition by its cancellation key for as long as any of it may still be
    cancelled; None without a key."""
    if request.cancellation_key is None:
        return None
    lasts_ms = CANCELLATION_KEY_TTL_MS + (WAIT_MS_MAX if request.workflow else 0)
    expires_ms = (request.send_at_ms or accepted_ms) + lasts_ms
    if request.expires_ms is not None:
        expires_ms = min(expires_ms, request.expires_ms)
    key = cancel_key(request.cancellation_key)
    return Wait(tenant, key, notification_id, topics.accepted(Lane.CRITICAL), partition, expires_ms)


def cancellation(tenant: str, subjects: Iterable[Subject], now_ms: int) -> StageResult:
    """Return the stage result that cancels subjects. The deliver stage reads cancellations before every send; the
    record stage shows them."""
    partitions: dict[int, list[bytes]] = defaultdict(list)
    for subject_id, partition in subjects:
        partitions[partition].append(subject_id)
    cancellations = [
        Cancellation(tenant, subject_id, now_ms) for members in partitions.values() for subject_id in members
    ]
    return StageResult(
        frames=[_frame(tenant, partition, members, now_ms) for partition, members in partitions.items()],
        accept_state=AcceptState(cancellations=cancellations),
    )


def cancellation_by_key(tenant: str, key: bytes, waits: Sequence[Wait], now_ms: int) -> StageResult:
    """Return the stage result that cancels the notifications that wait under a key, ends these waits and signals
    planning."""
    subjects = [Subject(wait.subject, wait.partition) for wait in waits]
    return msgspec.structs.replace(
        cancellation(tenant, subjects, now_ms),
        plan_state=PlanState(
            ended_waits=[WaitEnd(tenant, key, wait.subject) for wait in waits],
            signals=[signal(tenant, key, now_ms, {"notification_ids": [wait.subject for wait in waits]})],
        ),
    )


def _frame(tenant: str, partition: int, subject_ids: list[bytes], now_ms: int) -> Frame:
    count = len(subject_ids)
    event = CancelledFrame([tenant] * count, subject_ids, [now_ms] * count)
    return Frame(topics.OUTCOMES, partition, count, encode(event, count))
