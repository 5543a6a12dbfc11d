"""Gathers what explanations look at: the facts as they are now, or those that were kept of a decision."""

from clarion.content.gather import Contents
from clarion.domain.workflow import Workflow
from clarion.journal.events import Request
from clarion.plan.explainer import Question, question
from clarion.plan.facts import PROFILES, SendFacts
from clarion.plan.gather_sends import SendGatherer
from clarion.plan.retelling import Then
from clarion.plan.rules.need import Need
from clarion.ports.directory import Directory
from clarion.ports.history import History
from clarion.ports.stage_store import StageStore


class ExplanationGatherer:
    """Reads for one process; `contents` renders from what was gathered."""

    def __init__(self, store: StageStore, directory: Directory, history: History, contents: Contents) -> None:
        self._directory = directory
        self._history = history
        self._sends = SendGatherer(store, directory)
        self.contents = contents

    async def would(self, tenant: str, request: Request, now_ms: int) -> tuple[Question, SendFacts]:
        """Return what there is to decide about a request at a time (Unix ms), and the facts for it."""
        workflow = None
        if request.workflow:
            key = (tenant, Workflow, request.workflow, request.workflow_version)
            workflow = (await self._directory.definitions([key])).get(key)
        asked = question(tenant, request, workflow.body if workflow else None, now_ms)
        await self.contents.gather((), (tenant,))
        self._sends.forget_caps()  # nobody says to this process what others count
        facts = await self._sends.gather(asked.items, asked.at_ms)
        users = [user for user in facts.users.get(tenant, {}).values() if user is not None]
        return asked, await self.more(facts, Need({PROFILES: [user.profile_id for user in users]}), asked)

    async def more(self, facts: SendFacts, need: Need, asked: Question) -> SendFacts:
        """Return facts with what explaining lacked added to them."""
        return await self._sends.more(facts, need, asked.at_ms)

    async def was(self, tenant: str, notification_id: bytes) -> Then | None:
        """Return what is kept of a notification; None when there is no such, or it waits to be planned."""
        row = await self._history.notification(tenant, notification_id)
        if row is None or row.planned_ms is None:
            return None
        deliveries = await self._history.deliveries_of(tenant, notification_id)
        names = {one.setting for one in deliveries if one.setting is not None}
        return Then(
            notification=row,
            planned_ms=row.planned_ms,
            deliveries=deliveries,
            profiles=await self._directory.profiles({one.profile_id for one in deliveries}),
            settings={name: await self._history.setting(name) for name in names},
            attempts=await self._history.attempts_of(tenant, [one.id for one in deliveries]),
        )
