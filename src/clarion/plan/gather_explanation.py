"""Gathers the facts for explanations: current ones, or those recorded with a decision."""

from clarion.content.gather import Contents
from clarion.domain.workflow import Workflow
from clarion.journal.events import Request
from clarion.plan.explain_past import PastFacts
from clarion.plan.explain_request import ExplainRequest, explain_items
from clarion.plan.facts import PROFILES, SendFacts
from clarion.plan.gather_sends import SendGatherer
from clarion.plan.rules.need import Need
from clarion.ports.directory import Directory
from clarion.ports.history import History
from clarion.ports.stage_store import StageStore


class ExplanationGatherer:
    """Reads for one process; `contents` renders from gathered facts."""

    def __init__(self, store: StageStore, directory: Directory, history: History, contents: Contents) -> None:
        self._directory = directory
        self._history = history
        self._sends = SendGatherer(store, directory)
        self.contents = contents

    async def gather_request(self, tenant: str, request: Request, now_ms: int) -> tuple[ExplainRequest, SendFacts]:
        """Return the notifications to explain for a request at a time (Unix ms), and the facts for deciding about
        them."""
        workflow = None
        if request.workflow:
            key = (tenant, Workflow, request.workflow, request.workflow_version)
            workflow = (await self._directory.definitions([key])).get(key)
        asked = explain_items(tenant, request, workflow.body if workflow else None, now_ms)
        await self.contents.gather((), (tenant,))
        self._sends.forget_caps()  # this process is not notified of the counts of other processes
        facts = await self._sends.gather(asked.items, asked.at_ms)
        users = [user for user in facts.users.get(tenant, {}).values() if user is not None]
        return asked, await self.more(facts, Need({PROFILES: [user.profile_id for user in users]}), asked)

    async def more(self, facts: SendFacts, need: Need, asked: ExplainRequest) -> SendFacts:
        """Return the facts extended by those that were missing for the explanation."""
        return await self._sends.more(facts, need, asked.at_ms)

    async def gather_past(self, tenant: str, notification_id: bytes) -> PastFacts | None:
        """Return the records of a notification; None when there is no such, or it has not been planned yet."""
        row = await self._history.notification(tenant, notification_id)
        if row is None or row.planned_ms is None:
            return None
        deliveries = (await self._history.deliveries_of(tenant, [notification_id])).get(notification_id, [])
        names = {one.setting for one in deliveries if one.setting is not None}
        return PastFacts(
            notification=row,
            planned_ms=row.planned_ms,
            deliveries=deliveries,
            profiles=await self._directory.profiles({one.profile_id for one in deliveries}),
            request_facts=await self._history.request_facts(tenant, names),
            attempts=await self._history.attempts_of(tenant, [one.id for one in deliveries]),
        )
