"""The one place that composes the rules: who gets a notification on which channel and address, when, and why not.

`gate` (in profile_rules.py) evaluates the rules that all users of a profile share; `decide` adds those about a single person
(contacts, suppression, caps) and follows the route. Explanations use the same rules.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from clarion.domain.channel import DEVICE_CHANNELS, Channel
from clarion.domain.content import Template
from clarion.domain.decision import Decision, Hold, Merge, Reason, Send, Skip
from clarion.domain.route import Route
from clarion.domain.route import channels_of as route_channels
from clarion.domain.user import User
from clarion.plan.rules.caps import Room
from clarion.plan.rules.profile_rules import Gate
from clarion.plan.rules.request_facts import Planned, RequestFacts
from clarion.plan.rules.routing import Fallback, Routed, follow

Suppressed = Mapping[tuple[str, str], str]
"""(channel, address) to the reason why that address is suppressed."""


def channels_of(template: Template, requested: Sequence[str] | None, route: Route | None) -> tuple[Channel, ...]:
    """Return the channels to plan: the requested ones, else those of the route, else all that the template has its own
    content for. There is always at least one, so that every recipient has a delivery that records a reason."""
    if requested:
        return tuple(Channel(name) for name in requested)
    if route is not None:
        return route_channels(route)
    return tuple(channel for channel in template.parts if channel not in template.derived) or (Channel.INAPP,)


def addresses_of(user: User, channel: Channel) -> tuple[str, ...]:
    """Return a user's addresses on a channel; the address for in-app is empty."""
    if channel in DEVICE_CHANNELS:
        tokens = [device.token for device in user.devices if device.kind == channel]
        # One token may be registered twice, for example by an app that was installed again.
        return tuple(tokens if len(tokens) < 2 else dict.fromkeys(tokens))
    first = _FIRST[channel](user)
    more = user.more_contacts.get(channel, ()) if user.more_contacts else ()
    if not more:
        return () if first is None else (first,)
    return tuple(dict.fromkeys(more if first is None else (first, *more)))


_FIRST: Final[Mapping[Channel, Callable[[User], str | None]]] = {
    Channel.EMAIL: lambda user: user.email or None,
    Channel.SMS: lambda user: user.phone or None,
    Channel.WHATSAPP: lambda user: user.whatsapp or user.phone or None,
    Channel.CHAT: lambda user: user.chat or None,
    Channel.WEBHOOK: lambda user: user.webhook or None,
    Channel.INAPP: lambda user: "" if user.user_id else None,
}
"""A user's first address on a channel without devices."""


class Person:
    """The decision about one recipient. `since_ms` is when it was first held (Unix ms)."""

    __slots__ = ("_gate", "_now_ms", "_request_facts", "_room", "_since_ms", "_suppressed", "_user")

    def __init__(
        self,
        request_facts: RequestFacts,
        user: User,
        gate: Gate,
        suppressed: Suppressed,
        room: Room,
        now_ms: int,
        since_ms: int | None,
    ) -> None:
        self._request_facts = request_facts
        self._user = user
        self._gate = gate
        self._suppressed = suppressed
        self._room = room
        self._now_ms = now_ms
        self._since_ms = now_ms if since_ms is None else since_ms

    def channel(self, channel: Channel) -> list[Planned]:
        """Return every delivery on a channel with its decision; deliveries to send are counted under the caps."""
        shared = self._gate.verdicts[channel]
        if isinstance(shared, Skip):
            return [Planned(channel, "", shared)]
        addresses = addresses_of(self._user, channel)
        if not addresses:
            return [Planned(channel, "", Skip(Reason.NO_CONTACT, f"no {channel} contact"))]
        address = addresses[0]
        if len(addresses) == 1 and not (self._suppressed and self._suppressed.get((channel, address))):
            return [Planned(channel, address, self._in_time(shared) or self._capped(channel) or Send(address))]
        return self._addressed(channel, shared, addresses)

    def _addressed(self, channel: Channel, shared: Hold | None, addresses: Sequence[str]) -> list[Planned]:
        """Return one delivery per address; together they count once."""
        planned: list[Planned] = []
        verdict: Decision | None = None
        for address in addresses:
            cause = self._suppressed.get((channel, address)) if self._suppressed else None
            if cause is not None:
                planned.append(Planned(channel, address, Skip(Reason.SUPPRESSED, cause)))
                continue
            if verdict is None:
                verdict = self._in_time(shared) or self._capped(channel) or Send(address)
            elif isinstance(verdict, Send):
                verdict = Send(address)
            planned.append(Planned(channel, address, verdict))
        return planned

    def _in_time(self, shared: Hold | None) -> Decision | None:
        return None if shared is None else in_time(self._request_facts, shared, self._since_ms)

    def _capped(self, channel: Channel) -> Decision | None:
        """Count one delivery on a channel and return None, or return its decision when one of the caps has no room."""
        request_facts, ordinal = self._request_facts, self._user.ordinal
        if not request_facts.caps or not ordinal:
            return None
        caps = request_facts.caps_on(channel)
        full = self._room.claim(ordinal, caps) if caps else None
        if full is None:
            return None
        cap, free_s = full
        return over_cap(request_facts, f"over {cap.name}", free_s * 1000, self._since_ms)


def in_time(request_facts: RequestFacts, hold: Hold, since_ms: int) -> Hold | Skip:
    """Return a hold that began at `since_ms`, or a skip when it would be too long."""
    if hold.until_ms - since_ms <= request_facts.hold_max_ms:
        return hold
    return Skip(hold.reason, f"{hold.detail}: longer than {request_facts.category.rules.hold_max}")


def over_cap(request_facts: RequestFacts, detail: str, free_ms: int, since_ms: int) -> Decision:
    """Return the decision about a delivery over a cap that has room again at `free_ms`. Without a digest workflow,
    `digest` holds the delivery."""
    if request_facts.over_cap == "skip":
        return Skip(Reason.CAPPED, detail)
    if request_facts.over_cap == "digest" and request_facts.digest is not None:
        return Merge(*request_facts.digest, Reason.MERGED, detail)
    return in_time(request_facts, Hold(free_ms, Reason.CAPPED, detail), since_ms)


def decide(
    request_facts: RequestFacts,
    user: User,
    gate: Gate,
    suppressed: Suppressed,
    room: Room,
    now_ms: int,
    since_ms: int | None = None,
) -> Routed:
    """Return every delivery of one recipient, and the fallbacks of its routes."""
    person = Person(request_facts, user, gate, suppressed, room, now_ms, since_ms)
    if request_facts.route is None:
        planned: list[Planned] = []
        for channel in request_facts.channels:
            planned += person.channel(channel)
        return Routed(planned, _NO_FALLBACKS)
    return follow(request_facts.route, person.channel)


_NO_FALLBACKS: Sequence[Fallback] = ()


def wanted_addresses(users: Iterable[User], gates: Iterable[Gate]) -> dict[Channel, list[str]]:
    """Return the addresses that need a suppression look-up, by channel."""
    wanted: dict[Channel, list[str]] = {}
    for user, gate in zip(users, gates, strict=True):
        for channel, verdict in gate.verdicts.items():
            if channel is not Channel.INAPP and not isinstance(verdict, Skip):
                wanted.setdefault(channel, []).extend(addresses_of(user, channel))
    return wanted
