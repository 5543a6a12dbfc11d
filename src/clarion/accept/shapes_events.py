"""Request and response bodies of the endpoints for events."""

from typing import Any

import msgspec

from clarion.accept.shapes import IdempotencyKey, Instant, Key
from clarion.domain.channel import Channel


class EventIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happened. `user_id` is the user it is about, and defaults to `data.user_id` if that is a
    string."""

    type: Key
    data: dict[str, Any] = {}
    user_id: Key | None = None
    occurred_at: Instant | None = None
    idempotency_key: IdempotencyKey | None = None


class EventNotification(msgspec.Struct, frozen=True):
    """A notification that entry `index` of a rule created."""

    rule: str
    index: int
    id: str
    to: list[str]


class EventSkip(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a rule, entry `index` of it, or one recipient of that entry was skipped. `reason` is a stable code."""

    rule: str
    reason: str
    index: int | None = None
    user_id: str | None = None
    detail: str = ""


class EventOut(msgspec.Struct, frozen=True):
    """The notifications that an event created. Their metadata has the event's id as `event_id`."""

    id: str
    notifications: list[EventNotification]
    skipped: list[EventSkip]


class DryNotification(msgspec.Struct, frozen=True, omit_defaults=True):
    """A notification that entry `index` of a rule would create; `data` is the data for its template or workflow."""

    index: int
    to: list[str]
    data: dict[str, Any]
    template: str | None = None
    workflow: str | None = None
    channels: list[Channel] | None = None
    category: str | None = None
    priority: str = ""


class DryRule(msgspec.Struct, frozen=True):
    """A rule for this type of event: whether it matches, the notifications it would create, and its skips with their
    reasons."""

    rule: str
    version: int
    matched: bool
    notifications: list[DryNotification]
    skipped: list[EventSkip]


class DryOut(msgspec.Struct, frozen=True):
    """The result of a dry run: nothing was stored or sent."""

    rules: list[DryRule]
