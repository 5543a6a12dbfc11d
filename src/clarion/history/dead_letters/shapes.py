"""The request and response bodies of the dead-letter endpoints."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

import msgspec

from clarion.domain import ids
from clarion.domain.history import Attempt, Delivery
from clarion.domain.limits import BATCH_ITEMS_MAX
from clarion.domain.limits_delivery import REPLAY_LETTERS_MAX, REPLAY_RATE_MAX, REPLAY_RATE_MIN
from clarion.domain.times import shown
from clarion.history.dead_letters.verdicts import Letter
from clarion.history.shapes import DeliveryOut, delivery_out, delivery_text, reason_name


class ReplayFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which dead letters to replay: those not replayed yet that match all fields given here, as in the list."""

    channel: str | None = None
    user_id: str | None = None
    reason: str | None = None
    provider: str | None = None
    vendor: str | None = None
    template: str | None = None
    category: str | None = None
    address: str | None = None
    created_from: str | None = None
    created_to: str | None = None
    dead_from: str | None = None
    dead_to: str | None = None


class ReplayEdit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to apply before a replay. `data` is merged over the stored data: a given name replaces the stored one. An
    `address` can be given for one letter only."""

    address: str | None = None
    data: dict[str, Any] | None = None
    template: str | None = None


class ReplayIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either ids or a filter. A filter takes the newest letters, 1,000 unless `limit` is set; `after` is `next` of the
    previous call. `rate_per_s` spreads the replays over time; `dry_run` counts and changes nothing."""

    ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=BATCH_ITEMS_MAX)] | None = None
    filter: ReplayFilter | None = None
    edit: ReplayEdit | None = None
    rate_per_s: Annotated[float, msgspec.Meta(ge=REPLAY_RATE_MIN, le=REPLAY_RATE_MAX)] | None = None
    dry_run: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=REPLAY_LETTERS_MAX)] | None = None
    after: str | None = None


class ReplayResult(msgspec.Struct, frozen=True):
    """The result for one dead letter: `replayed`, or why not (`already_replayed`, `already_sent`, `cancelled`,
    `expired`, `suppressed`, `not_found`, `unreadable`; after an edit `too_large`, `no_content`, `data_missing`)."""

    id: str
    status: str


class ReplayPreview(msgspec.Struct, frozen=True):
    """The result of a dry run: the number of matching letters, of those that would be replayed, the latter by channel,
    by reason and by provider, and of those that would be skipped, by status."""

    letters: int
    replayable: int
    by_channel: dict[str, int]
    by_reason: dict[str, int]
    by_provider: dict[str, int]
    skipped: dict[str, int]


class ReplayOut(msgspec.Struct, frozen=True):
    """One result for each requested dead letter (none of a dry run) and the number of each status. With `next`, more
    letters may match the filter: repeat the call with it as `after`. `left` is their number, including those that only
    `template` or `category` rule out, 100,000 at most. `last_due_at` is when the last replay is due."""

    results: list[ReplayResult]
    counts: dict[str, int]
    next: str | None = None
    left: int = 0
    last_due_at: datetime | None = None
    preview: ReplayPreview | None = None


class DeadLetterOut(msgspec.Struct, frozen=True):
    """A delivery that was given up, stored for replay. `provider` and `vendor` made the newest attempt, `address` is
    where a replay would be sent."""

    id: str
    notification_id: str
    channel: str
    user_id: str | None
    reason: str | None
    detail: str
    attempts: int
    dead_at: datetime
    replayed_at: datetime | None
    address: str
    template: str | None
    category: str | None
    provider: str | None
    vendor: str | None
    expires_at: datetime | None


class DeadLetterContent(msgspec.Struct, frozen=True):
    """The content that a replay would be rendered from."""

    template: str
    locale: str
    category: str | None
    data: dict[str, Any]
    user: dict[str, Any] | None
    metadata: dict[str, str]


class DeadLetterDetail(DeadLetterOut, frozen=True):
    """A dead letter, its delivery with the provider's detail of each attempt, and its content."""

    delivery: DeliveryOut | None
    content: DeadLetterContent | None


def letter_out(letter: Letter, delivery: Delivery | None) -> DeadLetterOut:
    """Return a dead letter."""
    stored, row = letter
    return DeadLetterOut(
        id=delivery_text(stored.delivery_id),
        notification_id=ids.write(ids.NOTIFICATION_PREFIX, ids.notification_of(stored.delivery_id)),
        channel=stored.channel,
        user_id=stored.user_id or None,
        reason=reason_name(stored.reason),
        detail=stored.detail,
        attempts=stored.attempt,
        dead_at=shown(stored.dead_ms),
        replayed_at=shown(stored.replayed_ms),
        address=row.address if row is not None else delivery.address if delivery is not None else "",
        template=(row.template or None) if row is not None else None,
        category=(row.category or None) if row is not None else None,
        provider=(delivery.provider or None) if delivery is not None else None,
        vendor=(delivery.vendor or None) if delivery is not None else None,
        expires_at=shown(row.expires_ms) if row is not None else None,
    )


def detail_out(letter: Letter, delivery: Delivery | None, recorded: Iterable[Attempt]) -> DeadLetterDetail:
    """Return a dead letter with its delivery, attempts and content."""
    row = letter.row
    content = None
    if row is not None:
        metadata = row.metadata or {}
        content = DeadLetterContent(row.template, row.locale, row.category or None, row.data, row.user, metadata)
    return DeadLetterDetail(
        **msgspec.structs.asdict(letter_out(letter, delivery)),
        delivery=None if delivery is None else delivery_out(delivery, recorded),
        content=content,
    )
