"""Schedules: what is sent again and again, by cron or by RRULE."""

from typing import Any, ClassVar

import msgspec

from clarion.domain.channel import Channel


class ScheduleTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who gets it, exactly one of: a user, everyone, a topic, a segment."""

    user_id: str | None = None
    all: bool = False
    topic: str | None = None
    segment: str | None = None


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A schedule. Exactly one of `cron` (five fields) and `rrule` (RFC 5545, from `start` on, such as `2026-12-31T09:00`)
    says when, on the wall clock of `zone`. With `local_time` each recipient gets it when it is that time where they
    live, and `zone` says nothing. An occurrence that could not happen until `too_late` after its time does not happen;
    what was sent is of use for `expires_after`. Exactly one of `template` and `workflow` says what."""

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
