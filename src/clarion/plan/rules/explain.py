"""Why somebody gets something, or not: every rule's verdict on each channel with the facts it saw, and what came of it.

The rules asked are those that planning asks, and the outcome is what `decide` says.
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
from clarion.plan.rules.group import GROUP_RULES, gate, rank_of
from clarion.plan.rules.routing import Fallback
from clarion.plan.rules.setting import Planned, Setting


class Finding(NamedTuple):
    """What one rule said of one channel: None lets it pass. `saw` are the facts it looked at."""

    rule: str
    verdict: Decision | None
    saw: dict[str, Any]


class Explained(NamedTuple):
    """One channel of one recipient: every rule in order, and the deliveries that were decided on. There are none where a
    route comes to the channel only if those before it are not enough; `detail` then says when."""

    channel: Channel
    findings: list[Finding]
    planned: list[Planned]
    detail: str = ""


def explain(
    setting: Setting,
    profile: Profile,
    user: User,
    suppressed: Suppressed,
    room: Room,
    now_ms: int,
    since_ms: int | None = None,
) -> list[Explained]:
    """Return what is decided about one recipient at a time (Unix ms), channel by channel, and why."""
    held_since_ms = now_ms if since_ms is None else since_ms
    found = {
        channel: [
            *shared_findings(setting, profile, channel, now_ms),
            *_own_findings(setting, user, channel, suppressed, room, now_ms, held_since_ms),
        ]
        for channel in setting.channels
    }
    routed = decide(setting, user, gate(setting, profile, now_ms), suppressed, room, now_ms, since_ms)
    explained = []
    for channel, findings in found.items():
        planned = [one for one in routed.planned if one.channel is channel]
        detail = "" if planned else later(channel, routed.fallbacks)
        if setting.route is not None:
            passed = bool(planned) or bool(detail)
            findings.append(Finding("route", None if passed else ELSEWHERE, {"later": detail} if detail else {}))
        if not planned and not detail:
            planned = [Planned(channel, "", ELSEWHERE)]
        explained.append(Explained(channel, findings, planned, detail))
    return explained


def shared_findings(setting: Setting, profile: Profile, channel: Channel, now_ms: int) -> list[Finding]:
    """Return what the rules that everyone of a profile shares say of a channel."""
    findings = []
    for name, rule in GROUP_RULES:
        said = rule(setting, profile, channel, now_ms)
        findings.append(Finding(name, said.verdict, _SEEN_BY[name](setting, profile, channel, now_ms, said.saw)))
    return findings


def _own_findings(
    setting: Setting, user: User, channel: Channel, suppressed: Suppressed, room: Room, now_ms: int, since_ms: int
) -> list[Finding]:
    addresses = addresses_of(user, channel)
    none = Skip(Reason.NO_CONTACT, f"no {channel} contact")
    gone = {address: suppressed[channel, address] for address in addresses if (channel, address) in suppressed}
    all_gone = bool(addresses) and len(gone) == len(addresses)
    return [
        Finding("contact", None if addresses else none, {"addresses": [one for one in addresses if one]}),
        Finding("suppression", Skip(Reason.SUPPRESSED, next(iter(gone.values()))) if all_gone else None, dict(gone)),
        _cap_finding(setting, user, channel, room, now_ms, since_ms),
    ]


def _cap_finding(setting: Setting, user: User, channel: Channel, room: Room, now_ms: int, since_ms: int) -> Finding:
    caps = setting.caps_on(channel) if user.ordinal else ()
    free = {cap.name: room.free_at(user.ordinal, cap) * 1000 for cap in caps}
    late = max(free, key=lambda name: free[name], default="")
    over = bool(free) and free[late] > now_ms
    verdict = over_cap(setting, f"over {late}", free[late], since_ms) if over else None
    return Finding("caps", verdict, {name: "room" if ms <= now_ms else shown(ms) for name, ms in free.items()})


ELSEWHERE: Final = Skip(Reason.ROUTED_ELSEWHERE, "another channel of the route comes first")


def later(channel: Channel, fallbacks: Sequence[Fallback]) -> str:
    """Return when a route would come to a channel that is not planned; empty when it will not."""
    for fallback in fallbacks:
        if channel in channels_of(fallback.rest):
            first = " and ".join(fallback.channels)
            within = f" within {duration_text(fallback.within_ms)}" if fallback.within_ms else ""
            return f"when {first} is not {fallback.until}{within}"
    return ""


def _content_seen(setting: Setting, _profile: Profile, _channel: Channel, _now_ms: int, _saw: str) -> dict[str, Any]:
    template = setting.template
    return {"template": template.key, "version": template.version, "channels": list(template.parts)}


def _provider_seen(setting: Setting, _profile: Profile, _channel: Channel, _now_ms: int, _saw: str) -> dict[str, Any]:
    return {"channels_with_provider": sorted(setting.sendable)}


def _preference_seen(setting: Setting, _profile: Profile, _channel: Channel, _now_ms: int, saw: str) -> dict[str, Any]:
    return {"category": setting.category.key, "critical": setting.category.critical, "setting": saw or None}


def _quiet_seen(setting: Setting, profile: Profile, _channel: Channel, now_ms: int, _saw: str) -> dict[str, Any]:
    quiet = setting.quiet_hours if profile.quiet_hours is None else profile.quiet_hours
    zone = profile.zone or setting.zone
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


def strongest(findings: Sequence[Finding], setting: Setting, since_ms: int) -> Decision | None:
    """Return the verdict that findings amount to: the first no, else the longest wait that is short enough, else what the
    caps said, else None."""
    noes = [one.verdict for one in findings if isinstance(one.verdict, Skip) and one.rule not in ("caps", "route")]
    if noes:
        return min(noes, key=lambda skip: rank_of(skip.reason))
    held = [one.verdict for one in findings if isinstance(one.verdict, Hold) and one.rule == "quiet_hours"]
    if held:
        return in_time(setting, max(held, key=lambda hold: hold.until_ms), since_ms)
    return next((one.verdict for one in findings if one.rule == "caps"), None)
