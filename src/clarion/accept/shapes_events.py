"""Bodies and answers of the endpoints that take events."""

from typing import Any

import msgspec

from clarion.accept.shapes import IdempotencyKey, Instant, Key
from clarion.domain.channel import Channel


class EventIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happened. `user_id` is whom it is about; without it `data.user_id` is, if that is a text."""

    type: Key
    data: dict[str, Any] = {}
    user_id: Key | None = None
    occurred_at: Instant | None = None
    idempotency_key: IdempotencyKey | None = None


class EventNotification(msgspec.Struct, frozen=True):
    """A notification that entry `index` of a rule made."""

    rule: str
    index: int
    id: str
    to: list[str]


class EventSkip(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a rule, entry `index` of it, or one recipient of that entry came to nothing. `reason` is stable."""

    rule: str
    reason: str
    index: int | None = None
    user_id: str | None = None
    detail: str = ""


class EventOut(msgspec.Struct, frozen=True):
    """What an event made. The id also stands in the metadata of its notifications, as `event_id`."""

    id: str
    notifications: list[EventNotification]
    skipped: list[EventSkip]


class DryNotification(msgspec.Struct, frozen=True, omit_defaults=True):
    """A notification that entry `index` of a rule would make; `data` is what its template or workflow would get."""

    index: int
    to: list[str]
    data: dict[str, Any]
    template: str | None = None
    workflow: str | None = None
    channels: list[Channel] | None = None
    category: str | None = None
    priority: str = ""


class DryRule(msgspec.Struct, frozen=True):
    """A rule for this type of event: whether it holds, what it would send, and what it would not and why."""

    rule: str
    version: int
    matched: bool
    notifications: list[DryNotification]
    skipped: list[EventSkip]


class DryOut(msgspec.Struct, frozen=True):
    """What would happen; nothing did."""

    rules: list[DryRule]
