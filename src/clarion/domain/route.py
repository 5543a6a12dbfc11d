"""Routes: which channels a recipient is tried on, all of them or the first that does."""

from typing import Literal, TypeAlias

import msgspec

from clarion.domain.channel import Channel

Until: TypeAlias = Literal["sendable", "sent", "delivered", "seen"]
"""When the first channel of a route has done: nothing speaks against sending, the provider took it, it arrived, or the
person saw it."""


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Exactly one of `all` and `first` is set; members are channels or routes again.

    A `first` route goes on to its next member when `until` is not met: at once when the member cannot be sent or has
    failed, and after `within` (a duration such as `2m`) when it was sent and `until` still has not happened.
    """

    all: tuple["Channel | Route", ...] = ()
    first: tuple["Channel | Route", ...] = ()
    until: Until = "sendable"
    within: str | None = None


def channels_of(route: "Channel | Route") -> tuple[Channel, ...]:
    """Return every channel of a route once, in order."""
    if not isinstance(route, Route):
        return (route,)
    found = [channel for member in (*route.all, *route.first) for channel in channels_of(member)]
    return tuple(dict.fromkeys(found))
