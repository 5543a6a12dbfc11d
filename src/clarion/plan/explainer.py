"""Explanations of what would be sent now."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from clarion.content.fit import segmented
from clarion.content.render import Rendering
from clarion.domain.channel import Channel, Lane
from clarion.domain.decision import Reason, Skip
from clarion.domain.fitting import Fitted, in_words
from clarion.domain.limits import RENDER_OUTPUT_BYTES_MAX
from clarion.domain.limits_deciding import CAP_BLOCK_USERS
from clarion.domain.user import User
from clarion.domain.workflow import Send as SendStep
from clarion.domain.workflow import Workflow
from clarion.journal.events import Recipient, Request
from clarion.plan.claims import Claims
from clarion.plan.columns import Accepted
from clarion.plan.facts import user_context
from clarion.plan.gather_caps import CapTimes
from clarion.plan.gather_facts import StoredFacts
from clarion.plan.retelling import Retelling
from clarion.plan.rules.explain import Explained, explain
from clarion.plan.rules.setting import Planned, Setting
from clarion.plan.shapes import ChannelOut, ExplainOut, RecipientOut, channel_out
from clarion.ports.directory import Directory
from clarion.ports.history import History
from clarion.ports.journal import Journal
from clarion.ports.renderer import RenderError
from clarion.ports.times import shown


class Explainer:
    """Explains for one process."""

    def __init__(self, journal: Journal, directory: Directory, history: History, contents: Rendering) -> None:
        self._journal = journal
        self._directory = directory
        self._contents = contents
        self._facts = StoredFacts(directory)
        self._retelling = Retelling(history, directory)

    def would(self, tenant: str, request: Request, now_ms: int) -> ExplainOut:
        """Return what would be decided about a request at a time (Unix ms), or when it is to be sent if that is later. Nothing
        is stored or counted. The house of the tenant has to be gathered."""
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
            return [channel_out(setting, Explained(one, [], [Planned(one, "", gone)])) for one in setting.channels]
        blocks = [user.ordinal // CAP_BLOCK_USERS] if user.ordinal else []
        wanted = {(tenant, cap.rule): blocks for cap in setting.caps}
        claims = Claims(CapTimes(self._journal).load(wanted), now_ms)
        told = explain(setting, self._facts.profile(user), user, suppressed, claims.of(tenant), now_ms)
        return [
            channel_out(setting, one, *self._content(tenant, setting, one.channel, request, user, now_ms))
            for one in told
        ]

    def _content(
        self, tenant: str, setting: Setting, channel: Channel, request: Request, user: User, at_ms: int
    ) -> tuple[dict[str, Any] | None, str | None]:
        """Return what a channel would say, and what would be done to it so that it fits."""
        if channel not in setting.template.parts:
            return None, None
        reads, fitted = user_context(user), list[Fitted]()
        try:
            content = self._contents.render_template(
                tenant, setting.template, channel, request.data, reads, user.locale or "", at_ms, "", fitted
            )
        except RenderError as error:
            return {"error": str(error)}, None
        if len(msgspec.json.encode(content)) > RENDER_OUTPUT_BYTES_MAX:
            return {"error": "is too large"}, None
        if channel is Channel.SMS and (split := segmented(content)):
            fitted.append(split)
        return content, in_words(fitted) or None

    def was(self, tenant: str, notification_id: bytes) -> ExplainOut | None:
        """Return what was decided about a stored notification; None when there is no such, or it waits to be planned."""
        return self._retelling.tell(tenant, notification_id)
