"""Response bodies of explanations."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from clarion.domain.decision import REASON_NAMES, Decision, Hold, Merge, Send, Skip
from clarion.domain.times import shown
from clarion.plan.request_facts import provider_of
from clarion.plan.rules.explain import Explained, RuleFinding
from clarion.plan.rules.request_facts import Planned, RequestFacts


class RuleOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule: `verdict` is `pass`, `skip`, `hold` or `merge`; `saw` are the facts it used."""

    rule: str
    verdict: str
    saw: dict[str, Any]
    reason: str | None = None
    detail: str | None = None


class ChannelOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """One channel: `decision` is `send`, `skip`, `hold`, `merge` or `later` (a route may reach it). The addresses and
    time, the template version and provider, the content, the changes that make it fit, and every rule in order."""

    channel: str
    decision: str
    rules: list[RuleOut]
    addresses: list[str] = []
    reason: str | None = None
    detail: str | None = None
    until: datetime | None = None
    template: str | None = None
    template_version: int | None = None
    provider: str | None = None
    content: dict[str, Any] | None = None
    fitted: str | None = None


class RecipientOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """One recipient and, for a workflow, one of its steps."""

    channels: list[ChannelOut]
    user_id: str | None = None
    step: str | None = None


class ExplainOut(msgspec.Struct, frozen=True):
    """The decisions about each recipient, with reasons. `at` is the time they apply to."""

    at: datetime
    priority: str
    category: str | None
    recipients: list[RecipientOut]


def channel_out(
    request_facts: RequestFacts | None,
    explained: Explained,
    content: dict[str, Any] | None = None,
    fitted: str | None = None,
) -> ChannelOut:
    """Return the response for one explained channel; without request facts only the decision is known."""
    decision = _foremost(explained.planned)
    name, reason, detail = _words(decision)
    sends = isinstance(decision, Send | Hold)
    return ChannelOut(
        channel=explained.channel,
        decision=name,
        rules=[_rule_out(finding) for finding in explained.findings],
        addresses=[one.address for one in explained.planned if one.address],
        reason=reason,
        detail=detail or explained.detail or None,
        until=shown(decision.until_ms) if isinstance(decision, Hold) else None,
        template=request_facts.template.key if request_facts else None,
        template_version=request_facts.template.version if request_facts else None,
        provider=provider_of(request_facts, explained.channel) if request_facts and sends else None,
        content=content,
        fitted=fitted,
    )


def _foremost(planned: Sequence[Planned]) -> Decision | None:
    """Return the decision that represents a channel, the first that is not a skip: one address may be suppressed and
    another not."""
    decisions = [one.decision for one in planned]
    return next((one for one in decisions if not isinstance(one, Skip)), decisions[0] if decisions else None)


def _rule_out(finding: RuleFinding) -> RuleOut:
    if finding.verdict is None:
        return RuleOut(finding.rule, "pass", finding.saw)
    name, reason, detail = _words(finding.verdict)
    return RuleOut(finding.rule, name, finding.saw, reason, detail)


def _words(decision: Decision | None) -> tuple[str, str | None, str | None]:
    match decision:
        case None:
            return "later", None, None
        case Send():
            return "send", None, None
        case Skip():
            return "skip", REASON_NAMES[decision.reason], decision.detail
        case Hold():
            return "hold", REASON_NAMES[decision.reason], decision.detail
        case Merge():
            return "merge", REASON_NAMES[decision.reason], decision.detail
