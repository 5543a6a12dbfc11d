"""Explanations of decisions: every rule's verdict on each channel with the facts it used, and the resulting deliveries.

The rules are those that planning evaluates, and the deliveries are the result of `decide`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from clarion.domain.channel import Channel
from clarion.domain.decision import Decision, Hold, Reason, Skip
from clarion.domain.duration import duration_text
from clarion.domain.localtime import zone_of
from clarion.domain.route import channels_of
from clarion.domain.user import Profile, User
from clarion.plan.rules.caps import Room
from clarion.plan.rules.decide import Suppressed, addresses_of, decide, in_time, over_cap
from clarion.plan.rules.profile_rules import PROFILE_RULES, gate, rank_of
from clarion.plan.rules.request_facts import Planned, RequestFacts
from clarion.plan.rules.routing import Fallback


class RuleFinding(NamedTuple):
    """The verdict of one rule on one channel; None lets it pass. `saw` are the facts it used."""

    rule: str
    verdict: Decision | None
    saw: dict[str, Any]


class Explained(NamedTuple):
    """One channel of one recipient: every rule in order, and the decided deliveries. There are none where a route
    reaches the channel only if earlier channels are not enough; `detail` then says when."""

    channel: Channel
    findings: list[RuleFinding]
    planned: list[Planned]
    detail: str = ""


def explain(
    request_facts: RequestFacts,
    profile: Profile,
    user: User,
    suppressed: Suppressed,
    room: Room,
    now_ms: int,
    since_ms: int | None = None,
) -> list[Explained]:
    """Return the decision about one recipient at a time (Unix ms) for each channel, with every rule's finding."""
    held_since_ms = now_ms if since_ms is None else since_ms
    found = {
        channel: [
            *shared_findings(request_facts, profile, channel, now_ms),
            *_own_findings(request_facts, user, channel, suppressed, room, now_ms, held_since_ms),
        ]
        for channel in request_facts.channels
    }
    routed = decide(request_facts, user, gate(request_facts, profile, now_ms), suppressed, room, now_ms, since_ms)
    explained = []
    for channel, findings in found.items():
        planned = [one for one in routed.planned if one.channel is channel]
        detail = "" if planned else later(channel, routed.fallbacks)
        if request_facts.route is not None:
            passed = bool(planned) or bool(detail)
            findings.append(
                RuleFinding("route", None if passed else ROUTED_TO_ANOTHER, {"later": detail} if detail else {})
            )
        if not planned and not detail:
            planned = [Planned(channel, "", ROUTED_TO_ANOTHER)]
        explained.append(Explained(channel, findings, planned, detail))
    return explained


def shared_findings(request_facts: RequestFacts, profile: Profile, channel: Channel, now_ms: int) -> list[RuleFinding]:
    """Return the findings on a channel of the rules that all users of a profile share."""
    findings = []
    for name, rule in PROFILE_RULES:
        verdict_shown = rule(request_facts, profile, channel, now_ms)
        findings.append(
            RuleFinding(
                name, verdict_shown.verdict, _SEEN_BY[name](request_facts, profile, channel, now_ms, verdict_shown.saw)
            )
        )
    return findings


def _own_findings(
    request_facts: RequestFacts,
    user: User,
    channel: Channel,
    suppressed: Suppressed,
    room: Room,
    now_ms: int,
    since_ms: int,
) -> list[RuleFinding]:
    addresses = addresses_of(user, channel)
    none = Skip(Reason.NO_CONTACT, f"no {channel} contact")
    removed = {address: suppressed[channel, address] for address in addresses if (channel, address) in suppressed}
    all_gone = bool(addresses) and len(removed) == len(addresses)
    return [
        RuleFinding("contact", None if addresses else none, {"addresses": [one for one in addresses if one]}),
        RuleFinding(
            "suppression", Skip(Reason.SUPPRESSED, next(iter(removed.values()))) if all_gone else None, dict(removed)
        ),
        _cap_finding(request_facts, user, channel, room, now_ms, since_ms),
    ]


def _cap_finding(
    request_facts: RequestFacts, user: User, channel: Channel, room: Room, now_ms: int, since_ms: int
) -> RuleFinding:
    caps = request_facts.caps_on(channel) if user.ordinal else ()
    free = {cap.name: room.free_at(user.ordinal, cap) * 1000 for cap in caps}
    late = max(free, key=lambda name: free[name], default="")
    over = bool(free) and free[late] > now_ms
    verdict = over_cap(request_facts, f"over {late}", free[late], since_ms) if over else None
    return RuleFinding("caps", verdict, {name: "room" if ms <= now_ms else shown(ms) for name, ms in free.items()})


ROUTED_TO_ANOTHER: Final = Skip(Reason.ROUTED_ELSEWHERE, "another channel of the route comes first")


def later(channel: Channel, fallbacks: Sequence[Fallback]) -> str:
    """Return the condition under which a route reaches a channel that is not planned; empty when it never does."""
    for fallback in fallbacks:
        if channel in channels_of(fallback.rest):
            first = " and ".join(fallback.channels)
            within = f" within {duration_text(fallback.within_ms)}" if fallback.within_ms else ""
            return f"when {first} is not {fallback.until}{within}"
    return ""


def _content_seen(
    request_facts: RequestFacts, _profile: Profile, _channel: Channel, _now_ms: int, _saw: str
) -> dict[str, Any]:
    template = request_facts.template
    return {"template": template.key, "version": template.version, "channels": list(template.parts)}


def _provider_seen(
    request_facts: RequestFacts, _profile: Profile, _channel: Channel, _now_ms: int, _saw: str
) -> dict[str, Any]:
    return {"channels_with_provider": sorted(request_facts.sendable)}


def _preference_seen(
    request_facts: RequestFacts, _profile: Profile, _channel: Channel, _now_ms: int, saw: str
) -> dict[str, Any]:
    return {"category": request_facts.category.key, "critical": request_facts.category.critical, "setting": saw or None}


def _quiet_seen(
    request_facts: RequestFacts, profile: Profile, _channel: Channel, now_ms: int, _saw: str
) -> dict[str, Any]:
    quiet = request_facts.quiet_hours if profile.quiet_hours is None else profile.quiet_hours
    zone = profile.zone or request_facts.zone
    return {
        "zone": zone,
        "local_time": shown(now_ms, zone_of(zone)),
        "windows": [f"{window.start}-{window.end}" for window in quiet.windows],
        "of": "tenant" if profile.quiet_hours is None else "user",
    }


_SEEN_BY: Final = {
    "content": _content_seen,
    "provider": _provider_seen,
    "preferences": _preference_seen,
    "quiet_hours": _quiet_seen,
}


def shown(at_ms: int, zone: ZoneInfo | None = None) -> str:
    """Return an instant as RFC 3339 text, in UTC or a zone."""
    return datetime.fromtimestamp(at_ms / 1000, zone or UTC).isoformat(timespec="seconds")


def strongest_verdict(findings: Sequence[RuleFinding], request_facts: RequestFacts, since_ms: int) -> Decision | None:
    """Return the verdict that follows from findings: the skip whose reason ranks first, else the longest hold (a skip
    if it is too long), else the verdict of the caps, else None."""
    noes = [one.verdict for one in findings if isinstance(one.verdict, Skip) and one.rule not in ("caps", "route")]
    if noes:
        return min(noes, key=lambda skip: rank_of(skip.reason))
    held = [one.verdict for one in findings if isinstance(one.verdict, Hold) and one.rule == "quiet_hours"]
    if held:
        return in_time(request_facts, max(held, key=lambda hold: hold.until_ms), since_ms)
    return next((one.verdict for one in findings if one.rule == "caps"), None)
