"""Rules that everyone of a profile shares: content, provider, preferences, quiet hours. Each says no, wait, or nothing."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from clarion.domain.channel import Channel
from clarion.domain.content import GONE_VERSION
from clarion.domain.decision import Hold, Reason, Skip
from clarion.domain.user import Profile
from clarion.plan.rules.preferences import judge
from clarion.plan.rules.quiet import quiet_until
from clarion.plan.rules.setting import Setting

FOREVER_MS: Final = 1 << 62


class Found(NamedTuple):
    """What a rule says of a channel: None lets it pass. It says the same until `valid_until_ms` (Unix ms)."""

    verdict: Skip | Hold | None = None
    valid_until_ms: int = FOREVER_MS
    saw: str = ""


_PASS: Final = Found()


class Gate(NamedTuple):
    """Per channel what everyone of a profile shares: why nobody gets it, until when it waits, or None when the person's
    own facts decide; good until `valid_until_ms`."""

    verdicts: Mapping[Channel, Skip | Hold | None]
    valid_until_ms: int


def content(setting: Setting, _profile: Profile, channel: Channel, _now_ms: int) -> Found:
    """Say no where the template has nothing for the channel."""
    template = setting.template
    if channel in template.parts:
        return _PASS
    lacks = "is gone" if template.version == GONE_VERSION else f"has no {channel} part"
    return Found(Skip(Reason.NO_CONTENT, f"template {template.key} {lacks}"))


def provider(setting: Setting, _profile: Profile, channel: Channel, _now_ms: int) -> Found:
    """Say no where no provider serves the channel."""
    return _PASS if channel in setting.sendable else Found(Skip(Reason.NO_PROVIDER, f"no provider for {channel}"))


def preference(setting: Setting, profile: Profile, channel: Channel, now_ms: int) -> Found:
    """Say no where the person, or a default, does not want the category on the channel."""
    category = setting.category
    if category.critical:
        return _PASS
    said = judge(
        profile.preferences,
        setting.workflow_defaults,
        category.defaults,
        setting.defaults,
        category.key,
        channel,
        now_ms,
    )
    until_ms = FOREVER_MS if said.valid_until_ms is None else said.valid_until_ms
    if said.allowed:
        return Found(None, until_ms, said.setting)
    return Found(Skip(Reason.OPTED_OUT, said.setting), until_ms, said.setting)


def quiet_hours(setting: Setting, profile: Profile, channel: Channel, now_ms: int) -> Found:
    """Say wait while the person's quiet hours last."""
    if setting.category.critical or not setting.category.rules.quiet_hours:
        return _PASS
    quiet = setting.quiet_hours if profile.quiet_hours is None else profile.quiet_hours
    if not quiet.windows or channel not in quiet.channels:
        return _PASS
    zone = profile.zone or setting.zone
    said = quiet_until(quiet, zone, channel, now_ms)
    if said.until_ms is None:
        return Found(None, said.valid_until_ms)
    return Found(Hold(said.until_ms, Reason.QUIET_HOURS, f"quiet hours in {zone}"), said.valid_until_ms)


Rule = Callable[[Setting, Profile, Channel, int], Found]
GROUP_RULES: Final[tuple[tuple[str, Rule], ...]] = (
    ("content", content),
    ("provider", provider),
    ("preferences", preference),
    ("quiet_hours", quiet_hours),
)
"""Each rule by its name, in the order in which explanations show them; what they say together does not depend on it."""


def gate(setting: Setting, profile: Profile, now_ms: int) -> Gate:
    """Return the verdict that everyone of a profile shares, per channel, at a time (Unix ms)."""
    verdicts: dict[Channel, Skip | Hold | None] = {}
    valid_until_ms = FOREVER_MS
    for channel in setting.channels:
        verdict: Skip | Hold | None = None
        for _, rule in GROUP_RULES:
            found = rule(setting, profile, channel, now_ms)
            valid_until_ms = min(valid_until_ms, found.valid_until_ms)
            verdict = stronger(verdict, found.verdict)
        verdicts[channel] = verdict
    return Gate(verdicts, valid_until_ms)


def stronger(one: Any, other: Any) -> Any:
    """Return which of two verdicts counts: a no before a wait before nothing; of two noes the one whose reason ranks first,
    of two waits the longer. So the order in which rules are asked does not matter."""
    return one if _strength(one) >= _strength(other) else other


def _strength(verdict: Skip | Hold | None) -> tuple[int, int]:
    if verdict is None:
        return (0, 0)
    if isinstance(verdict, Hold):
        return (1, verdict.until_ms)
    return (2, -rank_of(verdict.reason))


_RANKS: Final = {
    reason: rank
    for rank, reason in enumerate(
        (Reason.NO_CONTENT, Reason.NO_PROVIDER, Reason.OPTED_OUT, Reason.NO_CONTACT, Reason.SUPPRESSED)
    )
}


def rank_of(reason: Reason) -> int:
    """Return how far behind a reason comes when several rules say no: what concerns everybody comes first."""
    return _RANKS.get(reason, len(_RANKS))
