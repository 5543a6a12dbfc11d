"""Explanations of past decisions: rules that all users of a profile share are evaluated again with the facts of that
time; rules about a single person are read from the decision."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from clarion.domain.channel import Channel
from clarion.domain.decision import Decision, Hold, Merge, Reason, Send, Skip
from clarion.domain.delivery_state import Event, State
from clarion.domain.history import REASONS, Attempt, Delivery, Notification
from clarion.domain.times import shown
from clarion.domain.user import Profile
from clarion.journal.events import Recipient, Request
from clarion.plan.request_facts import restore
from clarion.plan.rules.explain import ROUTED_TO_ANOTHER, Explained, RuleFinding, shared_findings
from clarion.plan.rules.request_facts import Planned, RequestFacts
from clarion.plan.shapes import ChannelOut, ExplainOut, RecipientOut, channel_out

_REQUEST: Final = msgspec.msgpack.Decoder(Request)
_NOBODY: Final = Recipient()
_DECIDED: Final = frozenset({Event.HELD, Event.RELEASED, Event.SKIPPED, Event.MERGED})
"""Events by which planning decides about a held delivery."""
_OWN: Final = {
    "contact": Reason.NO_CONTACT,
    "suppression": Reason.SUPPRESSED,
    "caps": Reason.CAPPED,
}
"""The rules about a single person, each with the reason it gives when it stops a delivery."""


class PastFacts(NamedTuple):
    """The records of a planned notification: its deliveries, and the facts they were decided from."""

    notification: Notification
    planned_ms: int
    deliveries: Sequence[Delivery]
    profiles: Mapping[int, Profile]
    request_facts: Mapping[bytes, bytes | None]
    """By digest: the shared facts (JSON)."""
    attempts: Sequence[Attempt]


def explain_past(past: PastFacts) -> ExplainOut:
    """Return the explanation of the decisions about a notification."""
    row = past.notification
    known = _Known(past)
    inline = [to for to in _REQUEST.decode(row.request).to if not to.user_id]
    found: dict[tuple[str, int, str], dict[str, list[Delivery]]] = {}
    for one in past.deliveries:
        identity = (one.user_id, -1 if one.user_id else _place(one, inline), one.step)
        found.setdefault(identity, {}).setdefault(one.channel, []).append(one)
    recipients = [
        RecipientOut(
            known.channels(by_channel, inline[place] if place >= 0 else _NOBODY), user_id or None, step or None
        )
        for (user_id, place, step), by_channel in found.items()
    ]
    return ExplainOut(shown(past.planned_ms), row.lane, row.category or None, recipients)


def _place(row: Delivery, inline: Sequence[Recipient]) -> int:
    """Return the index of the inline recipient that a delivery is for, -1 when it is unknown."""
    if len(inline) == 1:
        return 0
    return next((i for i, to in enumerate(inline) if row.address in (to.contacts or {}).values()), -1)


class _Known:
    """The facts behind deliveries."""

    def __init__(self, past: PastFacts) -> None:
        self._profiles = past.profiles
        self._request_facts: Mapping[bytes | None, RequestFacts] = {
            name: restore(facts) for name, facts in past.request_facts.items() if facts
        }
        self._decided_ms = {one.delivery_id: one.finished_ms for one in past.attempts if one.event in _DECIDED}

    def channels(self, by_channel: Mapping[str, Sequence[Delivery]], to: Recipient) -> list[ChannelOut]:
        """Return every channel that has a decision for a recipient, and those that its route has not reached."""
        explained = [self._channel(rows, to) for rows in by_channel.values()]
        request_facts = self._request_facts.get(next(iter(by_channel.values()))[0].setting)
        if request_facts is None:
            return explained
        route = RuleFinding("route", ROUTED_TO_ANOTHER, {})
        return explained + [
            channel_out(request_facts, Explained(channel, [route], [Planned(channel, "", ROUTED_TO_ANOTHER)]))
            for channel in request_facts.channels
            if channel not in by_channel
        ]

    def _channel(self, rows: Sequence[Delivery], to: Recipient) -> ChannelOut:
        one = rows[0]
        channel = Channel(one.channel)
        request_facts = self._request_facts.get(one.setting)
        planned = [Planned(channel, row.address, _decision(row)) for row in rows]
        if request_facts is None:
            return channel_out(None, Explained(channel, [], planned))
        profile = self._profiles.get(one.profile_id) or Profile(0, to.zone, {})
        found = shared_findings(request_facts, profile, channel, self._decided_ms.get(one.id, one.planned_ms))
        for name, reason in _OWN.items():
            shown = next((row.decision for row in planned if _reason(row.decision) is reason), None)
            found.append(RuleFinding(name, shown, {}))
        return channel_out(request_facts, Explained(channel, found, planned))


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
