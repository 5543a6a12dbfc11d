"""Explanations as the API answers with them: of what would be sent now, and of what was decided."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from clarion.domain.channel import Channel, Lane
from clarion.domain.decision import REASON_NAMES, Decision, Hold, Merge, Reason, Send, Skip
from clarion.domain.delivery_state import State
from clarion.domain.history import REASONS, Delivery
from clarion.domain.limits import RENDER_OUTPUT_BYTES_MAX
from clarion.domain.user import Profile, User
from clarion.domain.workflow import Send as SendStep
from clarion.domain.workflow import Workflow
from clarion.journal.events import Recipient, Request
from clarion.plan.claims import CapTimes
from clarion.plan.columns import Accepted
from clarion.plan.facts import Facts, user_context
from clarion.plan.rules.explain import ELSEWHERE, Explained, Finding, explain, shared_findings
from clarion.plan.rules.setting import Planned, Setting
from clarion.plan.settings import provider_of, restored
from clarion.ports.directory import Directory
from clarion.ports.history import History
from clarion.ports.journal import Journal
from clarion.ports.renderer import Renderer, RenderError
from clarion.ports.times import shown


class RuleOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule: `verdict` is `pass`, `skip`, `hold` or `merge`; `saw` are the facts it looked at."""

    rule: str
    verdict: str
    saw: dict[str, Any]
    reason: str | None = None
    detail: str | None = None


class ChannelOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """One channel: `decision` is `send`, `skip`, `hold`, `merge` or `later` (a route may come to it). Where and when it
    goes, by which template version and provider, what it says, and every rule in order."""

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


class RecipientOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """One recipient and, for a workflow, one of its steps."""

    channels: list[ChannelOut]
    user_id: str | None = None
    step: str | None = None


class ExplainOut(msgspec.Struct, frozen=True):
    """What is, or was, decided for whom and why. `at` is the time it was decided for."""

    at: datetime
    lane: str
    category: str | None
    recipients: list[RecipientOut]


class Explainer:
    """Explains for one process."""

    def __init__(self, journal: Journal, directory: Directory, history: History, renderer: Renderer) -> None:
        self._journal = journal
        self._directory = directory
        self._history = history
        self._renderer = renderer
        self._facts = Facts(directory)

    def would(self, tenant: str, request: Request, now_ms: int) -> ExplainOut:
        """Return what would be decided about a request at a time (Unix ms), or when it is to be sent if that is later. Nothing
        is stored or counted."""
        now_ms = max(now_ms, request.send_at_ms or 0)
        self._facts.refresh()
        recipients: list[RecipientOut] = []
        category = request.category
        for step, asked in self._sends(tenant, request):
            item = Accepted(Lane(asked.lane), b"", tenant, now_ms, asked, route=step.route if step else None)
            setting = self._facts.setting(tenant, asked, item.route)
            category = category or setting.category.key
            (people,) = self._facts.recipients([item])
            suppressed = self._facts.suppressed([item], [people], now_ms).get(tenant, {})
            for user in people:
                told = self._recipient(tenant, setting, asked, user, suppressed, now_ms)
                recipients.append(RecipientOut(told, user.user_id or None, step.name if step else None))
        return ExplainOut(shown(now_ms), request.lane, category or None, recipients)

    def _sends(self, tenant: str, request: Request) -> Iterable[tuple[SendStep | None, Request]]:
        """Yield what a request sends: itself, or each step of its workflow that sends."""
        if not request.workflow:
            yield None, request
            return
        found = self._directory.definition(tenant, Workflow, request.workflow, request.workflow_version)
        for step in found.body.steps if found else ():
            if isinstance(step, SendStep):
                channels = [channel.value for channel in step.channels] or None
                yield (
                    step,
                    msgspec.structs.replace(
                        request, template=step.template, channels=channels, category=step.category or request.category
                    ),
                )

    def _recipient(
        self,
        tenant: str,
        setting: Setting,
        request: Request,
        user: User | Recipient,
        suppressed: Mapping[tuple[str, str], str],
        now_ms: int,
    ) -> list[ChannelOut]:
        if isinstance(user, Recipient):
            gone = Skip(Reason.UNKNOWN_USER, f"user {user.user_id} is gone")
            return [_channel_out(setting, Explained(one, [], [Planned(one, "", gone)])) for one in setting.channels]
        claims = CapTimes(self._journal).claims(now_ms)
        for cap in setting.caps:
            if user.ordinal:
                claims.load(tenant, cap, [user.ordinal])
        told = explain(setting, self._facts.profile(user), user, suppressed, claims.of(tenant), now_ms)
        return [_channel_out(setting, one, self._content(setting, one.channel, request, user)) for one in told]

    def _content(self, setting: Setting, channel: Channel, request: Request, user: User) -> dict[str, Any] | None:
        parts = setting.template.parts.get(channel)
        if parts is None:
            return None
        context = {**request.data, "data": request.data, "user": user_context(user)}
        try:
            content: dict[str, Any] = self._renderer.compile(parts, html=False)(context)
        except RenderError as error:
            return {"error": str(error)}
        return content if len(msgspec.json.encode(content)) <= RENDER_OUTPUT_BYTES_MAX else {"error": "is too large"}

    def was(self, tenant: str, notification_id: bytes) -> ExplainOut | None:
        """Return what was decided about a stored notification; None when there is no such, or it waits to be planned."""
        row = self._history.notification(tenant, notification_id)
        if row is None or row.planned_ms is None:
            return None
        rows = self._history.deliveries_of(tenant, notification_id)
        grouped: dict[tuple[str, str], dict[str, list[Delivery]]] = {}
        for delivery in rows:
            grouped.setdefault((delivery.user_id, delivery.step), {}).setdefault(delivery.channel, []).append(delivery)
        recipients = [
            RecipientOut(self._whole(by_channel), user_id or None, step or None)
            for (user_id, step), by_channel in grouped.items()
        ]
        return ExplainOut(shown(row.planned_ms), row.lane, row.category or None, recipients)

    def _whole(self, by_channel: Mapping[str, Sequence[Delivery]]) -> list[ChannelOut]:
        """Return every channel that was decided on, and those that a route has not come to."""
        told = [self._stored(deliveries) for deliveries in by_channel.values()]
        digest = next(iter(by_channel.values()))[0].setting
        facts = self._history.setting(digest) if digest is not None else None
        if not facts:
            return told
        setting = restored(facts)
        others = [channel for channel in setting.channels if channel not in by_channel]
        route = Finding("route", ELSEWHERE, {})
        return told + [
            _channel_out(setting, Explained(channel, [route], [Planned(channel, "", ELSEWHERE)])) for channel in others
        ]

    def _stored(self, deliveries: Sequence[Delivery]) -> ChannelOut:
        """Return what was decided about one channel: the rules everyone of a profile shares are asked again with the facts
        of then; what was the person's own is read off the decision."""
        one = deliveries[0]
        channel = Channel(one.channel)
        facts = self._history.setting(one.setting) if one.setting is not None else None
        planned = [Planned(channel, row.address, _decision(row)) for row in deliveries]
        if not facts:
            return _channel_out(None, Explained(channel, [], planned))
        setting = restored(facts)
        profile = self._directory.profiles([one.profile_id]).get(one.profile_id) or Profile(0, "", {})
        found = shared_findings(setting, profile, channel, one.planned_ms)
        for name, reason in _OWN.items():
            said = next((row.decision for row in planned if _reason(row.decision) is reason), None)
            found.append(Finding(name, said, {}))
        return _channel_out(setting, Explained(channel, found, planned))


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


def _channel_out(setting: Setting | None, told: Explained, content: dict[str, Any] | None = None) -> ChannelOut:
    decision = _foremost(told.planned)
    name, reason, detail = _words(decision)
    sends = isinstance(decision, Send | Hold)
    return ChannelOut(
        channel=told.channel,
        decision=name,
        rules=[_rule_out(finding) for finding in told.findings],
        addresses=[one.address for one in told.planned if one.address],
        reason=reason,
        detail=detail or told.detail or None,
        until=shown(decision.until_ms) if isinstance(decision, Hold) else None,
        template=setting.template.key if setting else None,
        template_version=setting.template.version if setting else None,
        provider=provider_of(setting, told.channel) if setting and sends else None,
        content=content,
    )


def _foremost(planned: Sequence[Planned]) -> Decision | None:
    """Return the decision that says most about a channel: one address may be suppressed and another not."""
    decisions = [one.decision for one in planned]
    return next((one for one in decisions if not isinstance(one, Skip)), decisions[0] if decisions else None)


def _rule_out(finding: Finding) -> RuleOut:
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


_OWN = {
    "contact": Reason.NO_CONTACT,
    "suppression": Reason.SUPPRESSED,
    "caps": Reason.CAPPED,
}
"""The rules about a single person, and by which reason each says no."""
