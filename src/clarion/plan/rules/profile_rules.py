"""Rules that all users of a profile share: content, provider, preferences, quiet hours. Each skips, holds or passes."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from clarion.domain.channel import Channel
from clarion.domain.content import GONE_VERSION
from clarion.domain.decision import Hold, Reason, Skip
from clarion.domain.user import Profile
from clarion.plan.rules.preferences import judge
from clarion.plan.rules.quiet import quiet_until
from clarion.plan.rules.request_facts import RequestFacts

FOREVER_MS: Final = 1 << 62


class RuleResult(NamedTuple):
    """The verdict of a rule on a channel; None lets it pass. It is valid until `valid_until_ms` (Unix ms). `saw` is the
    fact it used."""

    verdict: Skip | Hold | None = None
    valid_until_ms: int = FOREVER_MS
    saw: str = ""


_PASS: Final = RuleResult()


class Gate(NamedTuple):
    """The verdict that all users of a profile share, by channel: a skip, a hold, or None when the person's own facts
    decide. Valid until `valid_until_ms` (Unix ms)."""

    verdicts: Mapping[Channel, Skip | Hold | None]
    valid_until_ms: int


def content(request_facts: RequestFacts, _profile: Profile, channel: Channel, _now_ms: int) -> RuleResult:
    """Return a skip where the template has no content for the channel."""
    template = request_facts.template
    if channel in template.parts:
        return _PASS
    lacks = "is gone" if template.version == GONE_VERSION else f"has no {channel} part"
    return RuleResult(Skip(Reason.NO_CONTENT, f"template {template.key} {lacks}"))


def provider(request_facts: RequestFacts, _profile: Profile, channel: Channel, _now_ms: int) -> RuleResult:
    """Return a skip where no provider serves the channel."""
    return (
        _PASS
        if channel in request_facts.sendable
        else RuleResult(Skip(Reason.NO_PROVIDER, f"no provider for {channel}"))
    )


def preference(request_facts: RequestFacts, profile: Profile, channel: Channel, now_ms: int) -> RuleResult:
    """Return a skip where the person's preferences, or a default, turn the category off on the channel."""
    category = request_facts.category
    if category.critical:
        return _PASS
    judgement = judge(
        profile.preferences,
        request_facts.workflow_defaults,
        category.defaults,
        request_facts.defaults,
        category.key,
        channel,
        now_ms,
    )
    until_ms = FOREVER_MS if judgement.valid_until_ms is None else judgement.valid_until_ms
    if judgement.allowed:
        return RuleResult(None, until_ms, judgement.source)
    return RuleResult(Skip(Reason.OPTED_OUT, judgement.source), until_ms, judgement.source)


def quiet_hours(request_facts: RequestFacts, profile: Profile, channel: Channel, now_ms: int) -> RuleResult:
    """Return a hold while the person's quiet hours last."""
    if request_facts.category.critical or not request_facts.category.rules.quiet_hours:
        return _PASS
    quiet = request_facts.quiet_hours if profile.quiet_hours is None else profile.quiet_hours
    if not quiet.windows or channel not in quiet.channels:
        return _PASS
    zone = profile.zone or request_facts.zone
    judgement = quiet_until(quiet, zone, channel, now_ms)
    if judgement.until_ms is None:
        return RuleResult(None, judgement.valid_until_ms)
    return RuleResult(Hold(judgement.until_ms, Reason.QUIET_HOURS, f"quiet hours in {zone}"), judgement.valid_until_ms)


Rule = Callable[[RequestFacts, Profile, Channel, int], RuleResult]
PROFILE_RULES: Final[tuple[tuple[str, Rule], ...]] = (
    ("content", content),
    ("provider", provider),
    ("preferences", preference),
    ("quiet_hours", quiet_hours),
)
"""Each rule by its name, in the order in which explanations show them; their combined verdict does not depend on the
order."""


def gate(request_facts: RequestFacts, profile: Profile, now_ms: int) -> Gate:
    """Return the verdict that all users of a profile share, by channel, at a time (Unix ms)."""
    verdicts: dict[Channel, Skip | Hold | None] = {}
    valid_until_ms = FOREVER_MS
    for channel in request_facts.channels:
        verdict: Skip | Hold | None = None
        for _, rule in PROFILE_RULES:
            found = rule(request_facts, profile, channel, now_ms)
            valid_until_ms = min(valid_until_ms, found.valid_until_ms)
            verdict = stronger(verdict, found.verdict)
        verdicts[channel] = verdict
    return Gate(verdicts, valid_until_ms)


def stronger(one: Any, other: Any) -> Any:
    """Return the stronger of two verdicts: a skip before a hold before None; of two skips the one whose reason ranks
    first, of two holds the longer one. So the order in which rules are evaluated does not matter."""
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
    """Return the rank of a reason when several rules skip: reasons that concern all users come first."""
    return _RANKS.get(reason, len(_RANKS))
