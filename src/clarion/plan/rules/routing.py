"""Following a route: all of its members, or the first that can be sent, and the fallback when that is not enough."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.decision import Skip
from clarion.domain.duration import duration_ms
from clarion.domain.route import Route, Until, channels_of
from clarion.plan.rules.request_facts import Planned

PlanChannel = Callable[[Channel], list[Planned]]


class Fallback(NamedTuple):
    """How a route continues: with `rest`, when all deliveries on `channels` have failed, or `within_ms` has passed
    without `until` being met. Held deliveries of `channels` are decided again by `whole`. `path` is the place in the
    route."""

    path: str
    channels: tuple[Channel, ...]
    until: Until
    within_ms: int | None
    rest: Route
    whole: Route


class RoutePosition(msgspec.Struct, frozen=True, array_like=True):
    """A place in a route: its condition, the rest of the route, and its deliveries and their channels."""

    path: str
    until: str
    within_ms: int | None
    rest: Route
    delivery_ids: list[bytes]
    channels: tuple[Channel, ...]


class Routed(NamedTuple):
    """The deliveries of one recipient, and the fallbacks of some of them. Channels that a route has not reached have no
    delivery."""

    planned: list[Planned]
    fallbacks: Sequence[Fallback]


def follow(route: Route | Channel, plan: PlanChannel, path: str = "") -> Routed:
    """Return the deliveries and fallbacks of a route; `plan` decides one channel, and is called only for channels that
    the route reaches."""
    if not isinstance(route, Route):
        return Routed(plan(route), ())
    if route.all:
        parts = [follow(member, plan, f"{path}{index}.") for index, member in enumerate(route.all)]
        return Routed(
            [one for part in parts for one in part.planned], [one for part in parts for one in part.fallbacks]
        )
    return _first(route, plan, path)


def _first(route: Route, plan: PlanChannel, path: str) -> Routed:
    planned: list[Planned] = []
    for index, member in enumerate(route.first):
        made, behind = follow(member, plan, f"{path}{index}.") if isinstance(member, Route) else (plan(member), ())
        planned += made
        if not able(made):
            continue
        rest = route.first[index + 1 :]
        if route.until == "sendable" or not rest:
            return Routed(planned, behind)
        here = Fallback(
            f"{path}{index}",
            channels_of(member),
            route.until,
            duration_ms(route.within) if route.within else None,
            _firsts(route, rest),
            _firsts(route, route.first[index:]),
        )
        return Routed(planned, [*behind, here])
    return Routed(planned, ())


def able(planned: Iterable[Planned]) -> bool:
    """Return whether any delivery is to be sent, now, later or in a digest."""
    for one in planned:  # noqa: SIM110 - a generator would cost as much as the rest of a route
        if not isinstance(one.decision, Skip):
            return True
    return False


def _firsts(route: Route, members: Sequence[Route | Channel]) -> Route:
    return Route(first=tuple(members), until=route.until, within=route.within)
