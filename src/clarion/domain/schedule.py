"""Schedules: notifications and broadcasts that recur, by cron or by RRULE."""

from typing import Any, ClassVar

import msgspec

from clarion.domain.channel import Channel


class ScheduleTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The recipients, exactly one of: a user, all users, a topic, a segment."""

    user_id: str | None = None
    all: bool = False
    topic: str | None = None
    segment: str | None = None


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A schedule. Exactly one of `cron` (five fields) and `rrule` (RFC 5545, from `start` on, such as
    `2026-12-31T09:00`) is set; it applies to the wall clock of `zone`. With `local_time` each recipient gets it at that
    time in their own zone, and `zone` is ignored. An occurrence that is more than `too_late` behind its time is
    dropped; its deliveries expire after `expires_after`. Exactly one of `template` and `workflow` is set."""

    KIND: ClassVar[str] = "schedule"

    to: ScheduleTo
    template: str | None = None
    workflow: str | None = None
    cron: str | None = None
    rrule: str | None = None
    start: str | None = None
    zone: str = "UTC"
    local_time: bool = False
    data: dict[str, Any] = {}
    channels: tuple[Channel, ...] = ()
    category: str | None = None
    too_late: str = "1h"
    expires_after: str | None = None
    enabled: bool = True
    name: str = ""
