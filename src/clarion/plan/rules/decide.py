"""The one place that composes the rules: who gets a notification on which channel and address, and why not.

`gate` decides what a whole profile class shares; `decide` adds what is a single person's own: contacts and suppression.
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.content import GONE_VERSION, Category, Template
from clarion.domain.decision import Decision, Reason, Send, Skip
from clarion.domain.user import User
from clarion.plan.rules.preferences import Matrix, opted_out


class Setting(msgspec.Struct, frozen=True):
    """The facts all recipients of one request share: what is sent, where it may go and which channels can send."""

    template: Template
    category: Category
    channels: tuple[Channel, ...]
    sendable: frozenset[Channel]
    defaults: Matrix


class Planned(msgspec.Struct, frozen=True):
    """One delivery of the plan: a decision about a channel and, where there is one, an address."""

    channel: Channel
    address: str
    decision: Decision


Gate = Mapping[Channel, Skip | None]
"""Per channel, why nobody of a profile class gets it, or None when the person's own facts decide."""


def channels_of(template: Template, requested: Sequence[str] | None) -> tuple[Channel, ...]:
    """Return the channels to plan: those asked for, else all the template has content for, and always at least one: a
    recipient without any delivery could not be told why."""
    if requested:
        return tuple(Channel(name) for name in requested)
    return tuple(template.parts) or (Channel.INAPP,)


def gate(setting: Setting, preferences: Matrix) -> dict[Channel, Skip | None]:
    """Return the verdict that everyone with these preferences shares, per channel."""
    verdicts: dict[Channel, Skip | None] = {}
    for channel in setting.channels:
        verdict: Skip | None = None
        if channel not in setting.template.parts:
            lacks = "is gone" if setting.template.version == GONE_VERSION else f"has no {channel} part"
            verdict = Skip(Reason.NO_CONTENT, f"template {setting.template.key} {lacks}")
        elif channel not in setting.sendable:
            verdict = Skip(Reason.NO_PROVIDER, f"no provider for {channel}")
        elif not setting.category.critical:
            by = opted_out(preferences, setting.defaults, setting.category.defaults, setting.category.key, channel)
            if by:
                verdict = Skip(Reason.OPTED_OUT, by)
        verdicts[channel] = verdict
    return verdicts


def addresses_of(user: User, channel: Channel) -> tuple[str, ...]:
    """Return where a user can be reached on a channel; in-app needs no address, so it has the empty one."""
    match channel:
        case Channel.EMAIL:
            return (user.email,) if user.email else ()
        case Channel.SMS:
            return (user.phone,) if user.phone else ()
        case Channel.WHATSAPP:
            number = user.whatsapp or user.phone
            return (number,) if number else ()
        case Channel.CHAT:
            return (user.chat,) if user.chat else ()
        case Channel.WEBHOOK:
            return (user.webhook,) if user.webhook else ()
        case Channel.PUSH | Channel.WEBPUSH:
            # One token may be registered twice, say by an app that was installed again.
            return tuple(dict.fromkeys(device.token for device in user.devices if device.kind == channel))
        case Channel.INAPP:
            return ("",) if user.user_id else ()


def decide(user: User, verdicts: Gate, suppressed: Mapping[tuple[str, str], str]) -> list[Planned]:
    """Return every delivery of one recipient, planned or skipped with its reason.

    `suppressed` maps (channel, address) to why that address is suppressed.
    """
    planned: list[Planned] = []
    for channel, verdict in verdicts.items():
        if verdict is not None:
            planned.append(Planned(channel, "", verdict))
            continue
        addresses = addresses_of(user, channel)
        if not addresses:
            planned.append(Planned(channel, "", Skip(Reason.NO_CONTACT, f"no {channel} contact")))
        for address in addresses:
            why = suppressed.get((channel, address)) if suppressed else None
            decision: Decision = Send(address) if why is None else Skip(Reason.SUPPRESSED, why)
            planned.append(Planned(channel, address, decision))
    return planned


def wanted_addresses(users: Iterable[User], verdicts: Iterable[Gate]) -> dict[Channel, list[str]]:
    """Return the addresses a suppression look-up is needed for, per channel."""
    wanted: dict[Channel, list[str]] = {}
    for user, gate_ in zip(users, verdicts, strict=True):
        for channel, verdict in gate_.items():
            if verdict is None and channel is not Channel.INAPP:
                wanted.setdefault(channel, []).extend(addresses_of(user, channel))
    return wanted
