"""The one place that composes the rules: who gets a notification on which channel and address, when, and why not.

`gate` (in group.py) decides what a whole profile class shares; `decide` adds what is a single person's own (contacts,
suppression, caps) and follows the route. Explanations ask the same rules.
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
from clarion.plan.rules.group import Gate
from clarion.plan.rules.routing import Fallback, Routed, follow
from clarion.plan.rules.setting import Planned, Setting

Suppressed = Mapping[tuple[str, str], str]
"""(channel, address) to why that address is suppressed."""


def channels_of(template: Template, requested: Sequence[str] | None, route: Route | None) -> tuple[Channel, ...]:
    """Return the channels to plan: those asked for, else those of the route, else all the template has content
    of its own for, and always at least one: a recipient without any delivery could not be told why."""
    if requested:
        return tuple(Channel(name) for name in requested)
    if route is not None:
        return route_channels(route)
    return tuple(channel for channel in template.parts if channel not in template.derived) or (Channel.INAPP,)


def addresses_of(user: User, channel: Channel) -> tuple[str, ...]:
    """Return where a user can be reached on a channel; in-app needs no address, so it has the empty one."""
    if channel in DEVICE_CHANNELS:
        tokens = [device.token for device in user.devices if device.kind == channel]
        # One token may be registered twice, say by an app that was installed again.
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
"""A user's own address on a channel that is no device's."""


class Person:
    """One recipient being decided about. `since_ms` is when it was held first."""

    __slots__ = ("_gate", "_now_ms", "_room", "_setting", "_since_ms", "_suppressed", "_user")

    def __init__(
        self,
        setting: Setting,
        user: User,
        gate: Gate,
        suppressed: Suppressed,
        room: Room,
        now_ms: int,
        since_ms: int | None,
    ) -> None:
        self._setting = setting
        self._user = user
        self._gate = gate
        self._suppressed = suppressed
        self._room = room
        self._now_ms = now_ms
        self._since_ms = now_ms if since_ms is None else since_ms

    def channel(self, channel: Channel) -> list[Planned]:
        """Return every delivery on a channel, planned or not with its reason; what is planned is counted by its caps."""
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
        """Return a delivery an address; together they count once."""
        planned: list[Planned] = []
        verdict: Decision | None = None
        for address in addresses:
            why = self._suppressed.get((channel, address)) if self._suppressed else None
            if why is not None:
                planned.append(Planned(channel, address, Skip(Reason.SUPPRESSED, why)))
                continue
            if verdict is None:
                verdict = self._in_time(shared) or self._capped(channel) or Send(address)
            elif isinstance(verdict, Send):
                verdict = Send(address)
            planned.append(Planned(channel, address, verdict))
        return planned

    def _in_time(self, shared: Hold | None) -> Decision | None:
        return None if shared is None else in_time(self._setting, shared, self._since_ms)

    def _capped(self, channel: Channel) -> Decision | None:
        """Count one delivery on a channel, or return what becomes of it when one of the caps has no room."""
        setting, ordinal = self._setting, self._user.ordinal
        if not setting.caps or not ordinal:
            return None
        caps = setting.caps_on(channel)
        full = self._room.claim(ordinal, caps) if caps else None
        if full is None:
            return None
        cap, free_s = full
        return over_cap(setting, f"over {cap.name}", free_s * 1000, self._since_ms)


def in_time(setting: Setting, hold: Hold, since_ms: int) -> Hold | Skip:
    """Return a hold that began at `since_ms`, or why it would be too long."""
    if hold.until_ms - since_ms <= setting.hold_max_ms:
        return hold
    return Skip(hold.reason, f"{hold.detail}: longer than {setting.category.rules.hold_max}")


def over_cap(setting: Setting, detail: str, free_ms: int, since_ms: int) -> Decision:
    """Return what becomes of a delivery over a cap that has room again at `free_ms`. Without a workflow to make the digest,
    it waits."""
    if setting.over_cap == "skip":
        return Skip(Reason.CAPPED, detail)
    if setting.over_cap == "digest" and setting.digest is not None:
        return Merge(*setting.digest, Reason.MERGED, detail)
    return in_time(setting, Hold(free_ms, Reason.CAPPED, detail), since_ms)


def decide(
    setting: Setting,
    user: User,
    gate: Gate,
    suppressed: Suppressed,
    room: Room,
    now_ms: int,
    since_ms: int | None = None,
) -> Routed:
    """Return every delivery of one recipient, and how its routes go on."""
    person = Person(setting, user, gate, suppressed, room, now_ms, since_ms)
    if setting.route is None:
        planned: list[Planned] = []
        for channel in setting.channels:
            planned += person.channel(channel)
        return Routed(planned, _NO_FALLBACKS)
    return follow(setting.route, person.channel)


_NO_FALLBACKS: Sequence[Fallback] = ()


def wanted_addresses(users: Iterable[User], gates: Iterable[Gate]) -> dict[Channel, list[str]]:
    """Return the addresses a suppression look-up is needed for, per channel."""
    wanted: dict[Channel, list[str]] = {}
    for user, gate in zip(users, gates, strict=True):
        for channel, verdict in gate.verdicts.items():
            if channel is not Channel.INAPP and not isinstance(verdict, Skip):
                wanted.setdefault(channel, []).extend(addresses_of(user, channel))
    return wanted
