"""Explanations of what a request would send now."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from clarion.content.fit import segmented
from clarion.content.render import Rendering
from clarion.domain.channel import Channel, Lane
from clarion.domain.decision import Reason, Skip
from clarion.domain.fitting import Fitted, in_words
from clarion.domain.limits_content import RENDER_OUTPUT_BYTES_MAX
from clarion.domain.times import shown
from clarion.domain.user import Profile, User
from clarion.domain.workflow import Send as SendStep
from clarion.domain.workflow import Workflow
from clarion.journal.events import Recipient, Request
from clarion.plan.columns import PlanItem
from clarion.plan.facts import NOBODY, SendFacts, inline, user_context
from clarion.plan.rules.explain import Explained, explain
from clarion.plan.rules.need import MissingFacts, Need, merged
from clarion.plan.rules.request_facts import Planned, RequestFacts
from clarion.plan.shapes import ChannelOut, ExplainOut, RecipientOut, channel_out
from clarion.ports.renderer import RenderError


class ExplainRequest(NamedTuple):
    """A request to explain: the notifications that it, or each send step of its workflow, would create at a time (Unix
    ms)."""

    request: Request
    items: Sequence[PlanItem]
    at_ms: int


def explain_items(tenant: str, request: Request, workflow: Workflow | None, now_ms: int) -> ExplainRequest:
    """Return the notifications to explain for a request at a time (Unix ms), or at its `send_at` if that is later."""
    at_ms = max(now_ms, request.send_at_ms or 0)
    lane = Lane(request.lane)
    if not request.workflow:
        return ExplainRequest(request, [PlanItem(lane, b"", tenant, at_ms, request)], at_ms)
    steps = [step for step in workflow.steps if isinstance(step, SendStep)] if workflow else []
    items = [
        PlanItem(lane, b"", tenant, at_ms, _sent_by(step, request), step=step.name, route=step.route) for step in steps
    ]
    return ExplainRequest(request, items, at_ms)


def _sent_by(step: SendStep, request: Request) -> Request:
    channels = [channel.value for channel in step.channels] or None
    category = step.category or request.category
    return msgspec.structs.replace(request, template=step.template, channels=channels, category=category)


def explain_request(asked: ExplainRequest, facts: SendFacts, rendering: Rendering) -> ExplainOut | Need:
    """Return the explanation of the decisions, or the missing facts. Nothing is counted. The tenant's layouts and brand
    have to be gathered before."""
    recipients: list[RecipientOut] = []
    category = asked.request.category
    needs: list[Need] = []
    for item in asked.items:
        for to in item.request.to:
            try:
                user = (facts.user(item.tenant, to.user_id) or to) if to.user_id else inline(to)
                explained = _recipient(item, user, facts, rendering, asked.at_ms)
                category = category or facts.request_facts_of(item.tenant, item.request, item.route).category.key
            except MissingFacts as missing_facts:
                needs.append(missing_facts.need)
                continue
            recipients.append(RecipientOut(explained, user.user_id or None, item.step or None))
    if needs:
        return merged(needs)
    return ExplainOut(shown(asked.at_ms), asked.request.lane, category or None, recipients)


def _recipient(
    item: PlanItem, user: User | Recipient, facts: SendFacts, rendering: Rendering, at_ms: int
) -> list[ChannelOut]:
    request_facts = facts.request_facts_of(item.tenant, item.request, item.route)
    if isinstance(user, Recipient):
        removed = Skip(Reason.UNKNOWN_USER, f"user {user.user_id} is gone")
        return [
            channel_out(request_facts, Explained(one, [], [Planned(one, "", removed)]))
            for one in request_facts.channels
        ]
    profile = facts.profile(user.profile_id) if user.profile_id != NOBODY else Profile(NOBODY, user.zone, {})
    room = facts.claims(at_ms).of(item.tenant)
    explained = explain(request_facts, profile, user, facts.suppressed(item.tenant), room, at_ms)
    return [
        channel_out(request_facts, one, *_content(item, request_facts, one.channel, user, rendering, at_ms))
        for one in explained
    ]


def _content(
    item: PlanItem, request_facts: RequestFacts, channel: Channel, user: User, rendering: Rendering, at_ms: int
) -> tuple[dict[str, Any] | None, str | None]:
    """Return the rendered content for a channel, or its error, and the changes that make it fit, in words."""
    if channel not in request_facts.template.parts:
        return None, None
    reads, fitted = user_context(user), list[Fitted]()
    try:
        content = rendering.render_template(
            item.tenant, request_facts.template, channel, item.request.data, reads, user.locale or "", at_ms, "", fitted
        )
    except RenderError as error:
        return {"error": str(error)}, None
    if len(msgspec.json.encode(content)) > RENDER_OUTPUT_BYTES_MAX:
        return {"error": "is too large"}, None
    if channel is Channel.SMS and (split := segmented(content)):
        fitted.append(split)
    return content, in_words(fitted) or None
