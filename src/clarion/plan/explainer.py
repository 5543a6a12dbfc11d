"""Explanations of what would be sent now."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from clarion.content.fit import segmented
from clarion.content.render import Rendering
from clarion.domain.channel import Channel, Lane
from clarion.domain.decision import Reason, Skip
from clarion.domain.fitting import Fitted, in_words
from clarion.domain.limits import RENDER_OUTPUT_BYTES_MAX
from clarion.domain.user import Profile, User
from clarion.domain.workflow import Send as SendStep
from clarion.domain.workflow import Workflow
from clarion.journal.events import Recipient, Request
from clarion.plan.columns import Accepted
from clarion.plan.facts import NOBODY, SendFacts, inline, user_context
from clarion.plan.rules.explain import Explained, explain
from clarion.plan.rules.need import Lacking, Need, merged
from clarion.plan.rules.setting import Planned, Setting
from clarion.plan.shapes import ChannelOut, ExplainOut, RecipientOut, channel_out
from clarion.ports.renderer import RenderError
from clarion.ports.times import shown


class Question(NamedTuple):
    """What is asked about: the notifications that a request, or each step of its workflow that sends, would make at a time
    (Unix ms)."""

    request: Request
    items: Sequence[Accepted]
    at_ms: int


def question(tenant: str, request: Request, workflow: Workflow | None, now_ms: int) -> Question:
    """Return what is asked about a request at a time (Unix ms), or when it is to be sent if that is later."""
    at_ms = max(now_ms, request.send_at_ms or 0)
    lane = Lane(request.lane)
    if not request.workflow:
        return Question(request, [Accepted(lane, b"", tenant, at_ms, request)], at_ms)
    steps = [step for step in workflow.steps if isinstance(step, SendStep)] if workflow else []
    items = [
        Accepted(lane, b"", tenant, at_ms, _sent_by(step, request), step=step.name, route=step.route) for step in steps
    ]
    return Question(request, items, at_ms)


def _sent_by(step: SendStep, request: Request) -> Request:
    channels = [channel.value for channel in step.channels] or None
    category = step.category or request.category
    return msgspec.structs.replace(request, template=step.template, channels=channels, category=category)


def explained(asked: Question, facts: SendFacts, rendering: Rendering) -> ExplainOut | Need:
    """Return what would be decided, or what deciding it lacks. Nothing is counted. The house of the tenant has to be
    gathered."""
    recipients: list[RecipientOut] = []
    category = asked.request.category
    needs: list[Need] = []
    for item in asked.items:
        for to in item.request.to:
            try:
                user = (facts.user(item.tenant, to.user_id) or to) if to.user_id else inline(to)
                told = _recipient(item, user, facts, rendering, asked.at_ms)
                category = category or facts.setting(item.tenant, item.request, item.route).category.key
            except Lacking as lacking:
                needs.append(lacking.need)
                continue
            recipients.append(RecipientOut(told, user.user_id or None, item.step or None))
    if needs:
        return merged(needs)
    return ExplainOut(shown(asked.at_ms), asked.request.lane, category or None, recipients)


def _recipient(
    item: Accepted, user: User | Recipient, facts: SendFacts, rendering: Rendering, at_ms: int
) -> list[ChannelOut]:
    setting = facts.setting(item.tenant, item.request, item.route)
    if isinstance(user, Recipient):
        gone = Skip(Reason.UNKNOWN_USER, f"user {user.user_id} is gone")
        return [channel_out(setting, Explained(one, [], [Planned(one, "", gone)])) for one in setting.channels]
    profile = facts.profile(user.profile_id) if user.profile_id != NOBODY else Profile(NOBODY, user.zone, {})
    room = facts.claims(at_ms).of(item.tenant)
    told = explain(setting, profile, user, facts.suppressed(item.tenant), room, at_ms)
    return [channel_out(setting, one, *_content(item, setting, one.channel, user, rendering, at_ms)) for one in told]


def _content(
    item: Accepted, setting: Setting, channel: Channel, user: User, rendering: Rendering, at_ms: int
) -> tuple[dict[str, Any] | None, str | None]:
    """Return what a channel would say, and what would be done to it so that it fits."""
    if channel not in setting.template.parts:
        return None, None
    reads, fitted = user_context(user), list[Fitted]()
    try:
        content = rendering.render_template(
            item.tenant, setting.template, channel, item.request.data, reads, user.locale or "", at_ms, "", fitted
        )
    except RenderError as error:
        return {"error": str(error)}, None
    if len(msgspec.json.encode(content)) > RENDER_OUTPUT_BYTES_MAX:
        return {"error": "is too large"}, None
    if channel is Channel.SMS and (split := segmented(content)):
        fitted.append(split)
    return content, in_words(fitted) or None
