"""Event rules: which notifications a domain event of a tenant creates, and for which users."""

from typing import ClassVar, Final

import msgspec

from clarion.domain.channel import Channel


class Notify(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One notification of a rule. `to` is an expression for a user id or a list of them (`data.driver_id`); `data` maps
    names to expressions and overrides the event's data."""

    to: str
    template: str | None = None
    workflow: str | None = None
    channels: tuple[Channel, ...] = ()
    category: str | None = None
    if_: str | None = msgspec.field(default=None, name="if")
    data: dict[str, str] = {}


class EventRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A rule that creates `notify` when an event of type `event` arrives and `if` (an expression over `event` and
    `data`) is true."""

    KIND: ClassVar[str] = "event_rule"

    event: str
    notify: tuple[Notify, ...]
    if_: str | None = msgspec.field(default=None, name="if")
    enabled: bool = True
    name: str = ""


def expression_count(rule: EventRule) -> int:
    """Return the number of expressions of a rule."""
    return (rule.if_ is not None) + sum(1 + (one.if_ is not None) + len(one.data) for one in rule.notify)


EXPRESSION_NAMES: Final = ("event", "data")
"""The names that expressions of a rule may read: `event` with `type`, `user_id` (or null) and `occurred_at`, and the
event's data."""
