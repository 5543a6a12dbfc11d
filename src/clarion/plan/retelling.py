"""Explanations of what was decided: the rules that everyone of a profile shares are asked again with the facts of then, what
was a single person's own is read off the decision."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.decision import Decision, Hold, Merge, Reason, Send, Skip
from clarion.domain.delivery_state import Event, State
from clarion.domain.history import REASONS, Attempt, Delivery, Notification
from clarion.domain.user import Profile
from clarion.journal.events import Recipient, Request
from clarion.plan.rules.explain import ELSEWHERE, Explained, Finding, shared_findings
from clarion.plan.rules.setting import Planned, Setting
from clarion.plan.settings import restored
from clarion.plan.shapes import ChannelOut, ExplainOut, RecipientOut, channel_out
from clarion.ports.times import shown

_REQUEST: Final = msgspec.msgpack.Decoder(Request)
_NOBODY: Final = Recipient()
_DECIDED: Final = frozenset({Event.HELD, Event.RELEASED, Event.SKIPPED, Event.MERGED})
"""What planning says of a delivery that was held."""
_OWN: Final = {
    "contact": Reason.NO_CONTACT,
    "suppression": Reason.SUPPRESSED,
    "caps": Reason.CAPPED,
}
"""The rules about a single person, and by which reason each says no."""


class Then(NamedTuple):
    """What is kept of a notification that was planned: its deliveries, and what they were decided from."""

    notification: Notification
    planned_ms: int
    deliveries: Sequence[Delivery]
    profiles: Mapping[int, Profile]
    settings: Mapping[bytes, bytes | None]
    """By digest the shared facts (JSON)."""
    attempts: Sequence[Attempt]


def retell(then: Then) -> ExplainOut:
    """Return what was decided about a notification."""
    row = then.notification
    known = _Known(then)
    inline = [to for to in _REQUEST.decode(row.request).to if not to.user_id]
    found: dict[tuple[str, int, str], dict[str, list[Delivery]]] = {}
    for one in then.deliveries:
        who = (one.user_id, -1 if one.user_id else _place(one, inline), one.step)
        found.setdefault(who, {}).setdefault(one.channel, []).append(one)
    recipients = [
        RecipientOut(
            known.channels(by_channel, inline[place] if place >= 0 else _NOBODY), user_id or None, step or None
        )
        for (user_id, place, step), by_channel in found.items()
    ]
    return ExplainOut(shown(then.planned_ms), row.lane, row.category or None, recipients)


def _place(row: Delivery, inline: Sequence[Recipient]) -> int:
    """Return which of the recipients without an id a delivery is for, -1 when that is not known."""
    if len(inline) == 1:
        return 0
    return next((i for i, to in enumerate(inline) if row.address in (to.contacts or {}).values()), -1)


class _Known:
    """The facts behind deliveries."""

    def __init__(self, then: Then) -> None:
        self._profiles = then.profiles
        self._settings: Mapping[bytes | None, Setting] = {
            name: restored(facts) for name, facts in then.settings.items() if facts
        }
        self._decided_ms = {one.delivery_id: one.finished_ms for one in then.attempts if one.event in _DECIDED}

    def channels(self, by_channel: Mapping[str, Sequence[Delivery]], to: Recipient) -> list[ChannelOut]:
        """Return every channel that was decided on for a recipient, and those that a route has not come to."""
        told = [self._channel(rows, to) for rows in by_channel.values()]
        setting = self._settings.get(next(iter(by_channel.values()))[0].setting)
        if setting is None:
            return told
        route = Finding("route", ELSEWHERE, {})
        return told + [
            channel_out(setting, Explained(channel, [route], [Planned(channel, "", ELSEWHERE)]))
            for channel in setting.channels
            if channel not in by_channel
        ]

    def _channel(self, rows: Sequence[Delivery], to: Recipient) -> ChannelOut:
        one = rows[0]
        channel = Channel(one.channel)
        setting = self._settings.get(one.setting)
        planned = [Planned(channel, row.address, _decision(row)) for row in rows]
        if setting is None:
            return channel_out(None, Explained(channel, [], planned))
        profile = self._profiles.get(one.profile_id) or Profile(0, to.zone, {})
        found = shared_findings(setting, profile, channel, self._decided_ms.get(one.id, one.planned_ms))
        for name, reason in _OWN.items():
            said = next((row.decision for row in planned if _reason(row.decision) is reason), None)
            found.append(Finding(name, said, {}))
        return channel_out(setting, Explained(channel, found, planned))


def _reason(decision: Decision) -> Reason | None:
    return None if isinstance(decision, Send) else decision.reason


def _decision(row: Delivery) -> Decision:
    if row.state is State.HELD:
        return Hold(row.retry_ms or 0, REASONS[row.reason], row.detail)
    if row.state is State.SKIPPED:
        return Skip(REASONS[row.reason], row.detail)
    if row.state is State.MERGED:
        return Merge("", 0, Reason.MERGED, row.detail)
    return Send(row.address)
