"""Starting broadcasts: a cursor that planning moves through an audience."""

from collections.abc import Callable
from typing import Final

import msgspec

from clarion.accept.acceptances import Acceptance
from clarion.accept.definitions import wants_of
from clarion.accept.intake_door import Door
from clarion.accept.shapes import BroadcastIn, BroadcastOut
from clarion.domain import ids
from clarion.domain.errors import Overloaded
from clarion.domain.segment import Filter
from clarion.journal.events import Audience
from clarion.ports.stage_store import Admission, Cursor, IdempotencyEntry, StageResult
from clarion.ports.stage_store import Broadcasts as Begun
from clarion.ports.web import Caller

_PACK: Final = msgspec.msgpack.Encoder()
_FILTER: Final = msgspec.json.Decoder(Filter)
_RECOUNT_AFTER_S: Final = 60


class Broadcasts:
    """Takes broadcasts."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def take(
        self, caller: Caller, body: BroadcastIn, remember: Callable[[msgspec.Struct], list[IdempotencyEntry]]
    ) -> Acceptance[BroadcastOut]:
        """Start a broadcast."""
        door = self._door
        job = (await door.admission(caller.tenant, wants_of([body]))).broadcast(body)
        await self._check_size(caller, job.audience)
        quota = await door.quotas.charge(caller, 1)
        now_ms = door.clock.now_ms()
        entropy = door.clock.entropy(ids.ENTROPY_BYTES)
        partition = entropy[0] % door.store.partitions
        id_ = ids.notification_id(now_ms, partition, entropy)
        cursor = Cursor(id_, caller.tenant, partition, "running", 0, 0, 0, 0, now_ms, now_ms, _PACK.encode(job))
        told = BroadcastOut(ids.write(ids.BROADCAST_PREFIX, id_), "running")
        begun = StageResult(broadcasts=Begun([cursor]), admission=Admission(remember(told)))
        await door.store.commit(begun)
        return Acceptance(told, quota=quota)

    async def _check_size(self, caller: Caller, audience: Audience) -> None:
        most = await self._door.quotas.audience_max(caller)
        if most is None:
            return
        filter_ = None if audience.filter is None else _FILTER.decode(audience.filter)
        count = await self._door.audiences.count(caller.tenant, audience.topic, filter_, most=most)
        if count.users > most:
            self._door.quotas.refuse_audience(count.users, most)
        if not count.exact:
            raise Overloaded("the audience could not be counted in time", retry_after_s=_RECOUNT_AFTER_S)
