"""The decision of record: from the journal's frames to the calls of the fold, column by column."""

from array import array
from collections.abc import Iterable, Sequence, Set
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event, State
from clarion.domain.history import (
    Attempt,
    Capture,
    Changes,
    Chunk,
    ChunkState,
    DeadLetter,
    Delivery,
    HealthChange,
    InboxItem,
    Notification,
    Progress,
)
from clarion.domain.ids import created_ms
from clarion.domain.inbox import COLLAPSE_KEY
from clarion.domain.limits_delivery import ATTEMPT_DETAIL_CHARS_MAX
from clarion.domain.outcome import Accepted, Outcome, Refused, name_of
from clarion.journal import events
from clarion.record.rules.fold import Fold
from clarion.record.rules.fold_receipts import Receipt, ReceiptFold
from clarion.record.rules.rows import Rows

INAPP: Final = "inapp"
SANDBOX: Final = "sandbox"

_EVENTS: Final = {str(event): event for event in Event}
_PACK: Final = msgspec.msgpack.Encoder().encode
_JSON: Final = msgspec.json.Encoder().encode


class FoldFacts(NamedTuple):
    """Current rows of everything a batch touches, by id, except those assumed to be `new`. Folding changes them in
    place."""

    deliveries: dict[bytes, Delivery]
    chunks: dict[bytes, ChunkState]
    new: Set[bytes] = frozenset()


def decide(frames: Iterable[events.Event], facts: FoldFacts) -> Changes:
    """Return the changes that folding frames of `outcomes`, in order, makes to the state store."""
    rows = Rows(facts.deliveries, facts.chunks)
    rows.changes.new = facts.new
    fold, receipts = Fold(rows), ReceiptFold(rows)
    for frame in frames:
        _fold_frame(fold, receipts, frame)
    return rows.changes


def _fold_frame(fold: Fold, receipts: ReceiptFold, frame: events.Event) -> None:
    """Fold one frame of the topic `outcomes`; frames without an outcome change nothing."""
    match frame:
        case events.PlannedFrame():
            fold.notifications(_notifications(frame))
            digests = [settings_digest(facts) for facts in frame.request_facts]
            fold.request_facts(zip(digests, frame.request_facts, strict=True))
            fold.planned(frame.planned_ms, _deliveries(frame, digests))
        case events.IntentFrame(chunk_id=bytes(chunk_id)):
            fold.chunk_intents(chunk_id, frame.first_index, len(frame.delivery_ids))
        case events.IntentFrame():
            fold.intents(frame.at_ms, frame.delivery_ids, frame.attempts)
        case events.AttemptedFrame():
            _fold_attempted(fold, frame)
        case events.ChunkFrame():
            fold.chunk(*_chunk(frame), _collapse_keys(frame) if frame.channel == INAPP else ())
        case events.ChunkAttemptedFrame():
            fold.chunk_attempted(
                frame.chunk_id, frame.first_index, frame.states, frame.finished_ms, frame.provider, frame.vendor
            )
        case events.ChunkReleasedFrame():
            fold.chunk_released(frame.chunk_id, frame.at_ms, frame.states, frame.reasons)
        case events.CancelledFrame():
            fold.cancelled(frame.tenants, frame.subject_ids, frame.at_ms)
        case events.ReplayedFrame():
            fold.replayed(frame.delivery_ids, frame.at_ms, frame.details, frame.addresses, frame.due_ms)
        case events.SeenFrame():
            fold.seen(frame.tenants, frame.notification_ids, frame.user_ids, frame.at_ms)
        case events.ProgressFrame():
            fold.progress(_progress(frame))
        case events.ReceiptFrame():
            for recorded in _receipts(frame):
                receipts.receipt(recorded)
        case events.HealthFrame():
            receipts.health_changes(_health_changes(frame))
        case _:
            pass


def _notifications(frame: events.PlannedFrame) -> Iterable[Notification]:
    columns = zip(
        frame.tenants, frame.notification_ids, frame.accepted_ms, frame.scheduled_ms, frame.requests, strict=True
    )
    for tenant, id_, accepted_ms, scheduled_ms, request in columns:
        if request is None:
            continue
        planned_ms = frame.planned_ms if scheduled_ms is None else None
        yield Notification(
            tenant, id_, accepted_ms, planned_ms, scheduled_ms, request.lane, request.category or "",
            request.template or "", _PACK(request),
        )  # fmt: skip


def _deliveries(frame: events.PlannedFrame, digests: Sequence[bytes]) -> Iterable[Delivery]:
    tenants, at_ms, count = frame.tenants, frame.planned_ms, len(frame.delivery_ids)
    columns = zip(
        frame.of, frame.delivery_ids, frame.user_ids, frame.channels, frame.addresses, frame.reasons, frame.details,
        frame.held_ms or [None] * count, frame.steps or [""] * count, frame.profile_ids or [0] * count,
        [digests[i] for i in frame.request_facts_of] if digests else [None] * count, strict=True,
    )  # fmt: skip
    for of, id_, user_id, channel, address, reason, detail, held_ms, step, profile_id, setting in columns:
        row = Delivery(
            id_, tenants[of], user_id, channel, address, State.PLANNED, planned_ms=at_ms, step=step,
            profile_id=profile_id, setting=setting,
        )  # fmt: skip
        row.detail = detail
        if reason:
            row.reason = reason
            if held_ms is not None:
                row.state, row.retry_ms = State.HELD, held_ms
            else:
                row.state, row.finished_ms = State.MERGED if reason == Reason.MERGED else State.SKIPPED, at_ms
        yield row


def settings_digest(facts: bytes) -> bytes:
    """Return the digest under which shared facts are stored."""
    return blake2b(facts, digest_size=16).digest()


def _progress(frame: events.ProgressFrame) -> Iterable[Progress]:
    columns = zip(
        frame.instance_ids, frame.notification_ids, frame.tenants, frame.user_ids, frame.workflows, frame.versions,
        frame.steps, frame.events, frame.at_ms, frame.details, strict=True,
    )  # fmt: skip
    return (Progress(*row) for row in columns)


def _receipts(frame: events.ReceiptFrame) -> Iterable[Receipt]:
    columns = zip(
        frame.delivery_ids, frame.tenants, frame.places, frame.kinds, frame.at_ms, frame.details, frame.user_ids,
        frame.addresses, strict=True,
    )  # fmt: skip
    shared = (frame.channel, frame.provider, frame.vendor)
    return (Receipt._make((*row, *shared)) for row in columns)


def _health_changes(frame: events.HealthFrame) -> Iterable[HealthChange]:
    columns = zip(
        frame.tenants, frame.at_ms, frame.providers, frame.channels, frame.vendors, frame.before, frame.states,
        frame.details, strict=True,
    )  # fmt: skip
    return (HealthChange(*row) for row in columns)


def _fold_attempted(fold: Fold, frame: events.AttemptedFrame) -> None:
    columns = zip(
        frame.delivery_ids, frame.tenants, frame.attempts, frame.finished_ms, frame.started_ms, frame.events,
        frame.outcomes, frame.reasons, frame.providers, frame.vendors, frame.retry_ms, strict=True,
    )  # fmt: skip
    for i, (id_, tenant, attempt, finished, started, name, outcome, reason, provider, vendor, retry) in enumerate(
        columns
    ):
        if not fold.knows(id_):
            fold.describe(_described(frame, i))
        event = _EVENTS[name]
        kind, detail, message_id, content = _words(outcome)
        recorded = Attempt(
            id_, tenant, attempt, finished, started, event, kind, reason, detail, provider, vendor, message_id, retry
        )
        applied = fold.attempted(event, recorded)
        if content is not None and applied:
            _keep_content(fold, frame, i, content)
        payload = frame.dead[i]
        if payload is not None and applied:
            fold.dead(
                DeadLetter(tenant, id_, frame.channel, frame.user_ids[i], reason, detail, attempt, finished, payload)
            )


def _described(frame: events.AttemptedFrame, i: int) -> Delivery:
    id_, place = frame.delivery_ids[i], frame.chunks[i]
    row = Delivery(id_, frame.tenants[i], frame.user_ids[i], frame.channel, frame.addresses[i], State.PLANNED)
    row.planned_ms = created_ms(id_)
    if place is not None:
        row.chunk_id, row.chunk_index = place
    return row


def _words(outcome: Outcome) -> tuple[str, str, str, dict[str, Any] | None]:
    """Return the outcome's name, the provider's detail, its message id and the content that a local vendor wants
    stored."""
    if isinstance(outcome, Accepted):
        return "accepted", outcome.detail, outcome.vendor_message_id, outcome.content
    detail = outcome.detail
    if isinstance(outcome, Refused):
        detail = f"{outcome.reason}: {detail}" if detail else outcome.reason
    return name_of(outcome), detail[:ATTEMPT_DETAIL_CHARS_MAX], "", None


def _keep_content(fold: Fold, frame: events.AttemptedFrame, i: int, content: dict[str, Any]) -> None:
    tenant, id_, user_id, at_ms = frame.tenants[i], frame.delivery_ids[i], frame.user_ids[i], frame.finished_ms[i]
    body = _JSON(content)
    # A broadcast is read from its chunk; an item of its own would show it twice.
    if frame.channel == INAPP and frame.chunks[i] is None:
        facts = frame.items[i] if frame.items else None
        category, expires_ms = facts or ("", None)
        fold.changes.inbox_items.append(
            InboxItem(tenant, user_id, id_, at_ms, body, category, expires_ms, _collapse_key(content))
        )
    if frame.vendors[i] == SANDBOX:
        fold.changes.captures.append(
            Capture(
                tenant, id_, frame.attempts[i], user_id, frame.channel, frame.addresses[i], frame.providers[i], at_ms,
                body,
            )
        )  # fmt: skip


def _chunk(frame: events.ChunkFrame) -> tuple[Chunk, ChunkState]:
    ordinals = frame.ordinals
    chunk = Chunk(
        frame.chunk_id, frame.tenant, frame.channel, frame.locale, frame.category, frame.planned_ms, frame.expires_ms,
        len(ordinals), ordinals[0] if ordinals else 0, ordinals[-1] if ordinals else 0, _PACK(frame.content),
        _PACK(frame.data), _PACK(frame.metadata), array("Q", ordinals).tobytes(), _PACK(frame.user_ids),
        _packed(frame.addresses), _packed(frame.users),
    )  # fmt: skip
    return chunk, ChunkState(frame.chunk_id, frame.tenant, frame.channel, frame.states, frame.reasons)


def _collapse_keys(frame: events.ChunkFrame) -> Iterable[str]:
    """Return the collapse keys of an in-app chunk's content, which may be each user's own."""
    return {key for content in frame.users or (frame.content,) if (key := _collapse_key(content))}


def _collapse_key(content: object) -> str:
    key = content.get(COLLAPSE_KEY) if isinstance(content, dict) else None
    return key if isinstance(key, str) else ""


def _packed(column: Sequence[Any]) -> bytes:
    return _PACK(column) if column else b""
