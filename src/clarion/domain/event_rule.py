"""Event rules: what a domain event of the tenant's makes for whom."""

from typing import ClassVar, Final

import msgspec

from clarion.domain.channel import Channel


class Notify(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One notification of a rule. `to` is an expression for a user id or a list of them (`data.driver_id`); `data` maps
    names to expressions and is laid over the event's data."""

    to: str
    template: str | None = None
    workflow: str | None = None
    channels: tuple[Channel, ...] = ()
    category: str | None = None
    if_: str | None = msgspec.field(default=None, name="if")
    data: dict[str, str] = {}


class EventRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When an event of type `event` arrives and `if` (an expression over `event` and `data`) holds, `notify` happens."""

    KIND: ClassVar[str] = "event_rule"

    event: str
    notify: tuple[Notify, ...]
    if_: str | None = msgspec.field(default=None, name="if")
    enabled: bool = True
    name: str = ""


EXPRESSION_NAMES: Final = ("event", "data")
"""What expressions of a rule read: `event` with `type`, `user_id` (or null) and `occurred_at`, and the event's data."""
