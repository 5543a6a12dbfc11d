"""Starting broadcasts: a cursor that planning moves through an audience."""

from typing import Final

import msgspec

from clarion.accept.acceptances import Acceptance
from clarion.accept.definitions import names_in_bodies
from clarion.accept.intake_context import AcceptFacts, IntakeContext, IntakeStep, Lookups, Remember
from clarion.accept.shapes import BroadcastIn, BroadcastOut
from clarion.domain import ids
from clarion.domain.errors import Overloaded
from clarion.domain.segment import Filter
from clarion.journal.events import Audience
from clarion.ports.stage_store import AcceptState, Cursor, StageResult
from clarion.ports.stage_store import Broadcasts as Begun
from clarion.ports.web import Caller

_PACK: Final = msgspec.msgpack.Encoder()
_FILTER: Final = msgspec.json.Decoder(Filter)
_RECOUNT_AFTER_S: Final = 60


class BroadcastIntake:
    """Accepts broadcasts."""

    def __init__(self, context: IntakeContext) -> None:
        self._context = context

    def begin(self, body: BroadcastIn) -> IntakeStep:
        """Return the lookups of a broadcast, and the function that starts it."""

        async def accept(caller: Caller, facts: AcceptFacts, remember: Remember) -> Acceptance[BroadcastOut]:
            return await self._accept(caller, body, facts, remember)

        return IntakeStep(Lookups(names_in_bodies([body]), backlog=False), accept)

    async def _accept(
        self, caller: Caller, body: BroadcastIn, facts: AcceptFacts, remember: Remember
    ) -> Acceptance[BroadcastOut]:
        context = self._context
        job = context.admission(facts.tenant).broadcast(body)
        await self._check_size(caller, facts, job.audience)
        quota = await context.quotas.charge(caller, facts.quotas, 1)
        now_ms = context.clock.now_ms()
        entropy = context.clock.entropy(ids.ENTROPY_BYTES)
        partitions = context.store.partitions
        slot = entropy[0] % ids.slots_of(partitions)
        id_ = ids.notification_id(now_ms, slot, entropy)
        partition = slot % partitions
        cursor = Cursor(id_, caller.tenant, partition, "running", 0, 0, 0, 0, now_ms, now_ms, _PACK.encode(job))
        response = BroadcastOut(ids.write(ids.BROADCAST_PREFIX, id_), "running")
        begun = StageResult(broadcasts=Begun([cursor]), accept_state=AcceptState(remember(response)))
        await context.store.commit(begun)
        return Acceptance(response, quota=quota)

    async def _check_size(self, caller: Caller, facts: AcceptFacts, audience: Audience) -> None:
        most = self._context.quotas.audience_max(caller, facts.quotas)
        if most is None:
            return
        filter_ = None if audience.filter is None else _FILTER.decode(audience.filter)
        count = await self._context.audiences.count(caller.tenant, audience.topic, filter_, most=most)
        if count.users > most:
            self._context.quotas.refuse_audience(count.users, most)
        if not count.exact:
            raise Overloaded("the audience could not be counted in time", retry_after_s=_RECOUNT_AFTER_S)
