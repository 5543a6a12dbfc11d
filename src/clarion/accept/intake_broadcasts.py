"""Starting broadcasts: a cursor that planning moves through an audience."""

from typing import Final

import msgspec

from clarion.accept.acceptances import Acceptance
from clarion.accept.definitions import wants_of
from clarion.accept.intake_door import Asks, Door, Facts, Remember, Step
from clarion.accept.shapes import BroadcastIn, BroadcastOut
from clarion.domain import ids
from clarion.domain.errors import Overloaded
from clarion.domain.segment import Filter
from clarion.journal.events import Audience
from clarion.ports.stage_store import Admission, Cursor, StageResult
from clarion.ports.stage_store import Broadcasts as Begun
from clarion.ports.web import Caller

_PACK: Final = msgspec.msgpack.Encoder()
_FILTER: Final = msgspec.json.Decoder(Filter)
_RECOUNT_AFTER_S: Final = 60


class Broadcasts:
    """Takes broadcasts."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def begin(self, body: BroadcastIn) -> Step:
        """Return what a broadcast asks for, and what starts it."""

        async def take(caller: Caller, facts: Facts, remember: Remember) -> Acceptance[BroadcastOut]:
            return await self._take(caller, body, facts, remember)

        return Step(Asks(wants_of([body]), backlog=False), take)

    async def _take(
        self, caller: Caller, body: BroadcastIn, facts: Facts, remember: Remember
    ) -> Acceptance[BroadcastOut]:
        door = self._door
        job = door.admission(facts.known).broadcast(body)
        await self._check_size(caller, facts, job.audience)
        quota = await door.quotas.charge(caller, facts.quotas, 1)
        now_ms = door.clock.now_ms()
        entropy = door.clock.entropy(ids.ENTROPY_BYTES)
        partition = entropy[0] % door.store.partitions
        id_ = ids.notification_id(now_ms, partition, entropy)
        cursor = Cursor(id_, caller.tenant, partition, "running", 0, 0, 0, 0, now_ms, now_ms, _PACK.encode(job))
        told = BroadcastOut(ids.write(ids.BROADCAST_PREFIX, id_), "running")
        begun = StageResult(broadcasts=Begun([cursor]), admission=Admission(remember(told)))
        await door.store.commit(begun)
        return Acceptance(told, quota=quota)

    async def _check_size(self, caller: Caller, facts: Facts, audience: Audience) -> None:
        most = self._door.quotas.audience_max(caller, facts.quotas)
        if most is None:
            return
        filter_ = None if audience.filter is None else _FILTER.decode(audience.filter)
        count = await self._door.audiences.count(caller.tenant, audience.topic, filter_, most=most)
        if count.users > most:
            self._door.quotas.refuse_audience(count.users, most)
        if not count.exact:
            raise Overloaded("the audience could not be counted in time", retry_after_s=_RECOUNT_AFTER_S)
