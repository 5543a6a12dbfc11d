"""Routes: the channels to try for a recipient, all of them or the first that succeeds."""

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.duration import check_duration
from clarion.domain.errors import InvalidField
from clarion.domain.limits import HOLD_MS_MAX, ROUTE_DEPTH_MAX, ROUTE_MEMBERS_MAX

Until: TypeAlias = Literal["sendable", "sent", "delivered", "seen"]
"""When a member of a `first` route has succeeded: no rule prevents sending, the provider accepted it, it was delivered,
or the user saw it."""


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Exactly one of `all` and `first` is set; members are channels or routes again.

    A `first` route continues with its next member when `until` is not met: at once when the member cannot be sent or
    has failed, and after `within` (a duration such as `2m`) when it was sent and `until` still has not happened.
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


def check_route(route: Route, field: str) -> None:
    """Raise `InvalidField` for the first fault of a route found at the path `field`.

    A channel may be in a route once, at any depth: a user has one delivery on a channel, so it could not be tried
    twice.
    """
    _check(route, field, 1)
    named: set[Channel] = set()
    for channel, path in _places(route, field):
        if channel in named:
            raise InvalidField(f"{channel} is in the route twice", field=path)
        named.add(channel)


def _check(route: Route, field: str, depth: int) -> None:
    if depth > ROUTE_DEPTH_MAX:
        raise InvalidField(f"routes are nested at most {ROUTE_DEPTH_MAX} deep", field=field)
    if bool(route.all) == bool(route.first):
        raise InvalidField("needs members under exactly one of all and first", field=field)
    _check_waiting(route, field)
    name = "all" if route.all else "first"
    members = route.all or route.first
    if len(members) > ROUTE_MEMBERS_MAX:
        raise InvalidField(f"has more than {ROUTE_MEMBERS_MAX} members", field=f"{field}.{name}")
    for index, member in enumerate(members):
        if isinstance(member, Route):
            _check(member, f"{field}.{name}[{index}]", depth + 1)


def _check_waiting(route: Route, field: str) -> None:
    if route.all and route.until != "sendable":
        raise InvalidField("belongs to first: a route of all waits for nothing", field=f"{field}.until")
    if route.within is not None:
        if route.until == "sendable":
            raise InvalidField("needs until to be sent, delivered or seen", field=f"{field}.within")
        check_duration(route.within, f"{field}.within", most_ms=HOLD_MS_MAX)
    elif route.until in ("delivered", "seen"):
        raise InvalidField(f"is required with until of {route.until}", field=f"{field}.within")


def _places(member: "Channel | Route", field: str) -> Iterator[tuple[Channel, str]]:
    if not isinstance(member, Route):
        yield member, field
        return
    for name, inner in (("all", member.all), ("first", member.first)):
        for index, each in enumerate(inner):
            yield from _places(each, f"{field}.{name}[{index}]")
