"""What taking anything needs, and the bound on what can be held."""

from collections.abc import Collection
from typing import Final

from clarion.accept.admit import Admission, owner_of, unknown_user
from clarion.accept.definitions import Wants, wants_of
from clarion.accept.gather import gather_answers, gather_definitions, gather_unknown_users
from clarion.accept.shapes import NotificationIn
from clarion.accept.worker import AcceptWriter, Taken
from clarion.accept.worker_quota import QuotaGate
from clarion.domain import ids
from clarion.domain.channel import CHANNELS, Lane
from clarion.domain.errors import Overloaded
from clarion.domain.limits import BACKLOG_CHECK_MS
from clarion.journal import topics
from clarion.journal.events import Request
from clarion.ports.audiences import Audiences
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.schemas import Schemas
from clarion.ports.stage_store import IdempotencyEntry, StageStore

_WAITING: Final = (topics.GROUP_PLAN, *(topics.group_deliver(channel) for channel in CHANNELS))
"""Groups whose backlog grows with what is accepted."""


class Door:
    """What taking a notification needs: facts, the writer, ids, and the bounds on what can be held and may be asked for."""

    def __init__(
        self,
        store: StageStore,
        directory: Directory,
        schemas: Schemas,
        writer: AcceptWriter,
        clock: Clock,
        quotas: QuotaGate,
        audiences: Audiences,
        *,
        backlog_max: int,
    ) -> None:
        self.store = store
        self.directory = directory
        self._schemas = schemas
        self.writer = writer
        self.clock = clock
        self.quotas = quotas
        self.audiences = audiences
        self._backlog_max = backlog_max
        self._backlog = 0
        self._checked_ms = -BACKLOG_CHECK_MS

    async def refuse_overload(self) -> None:
        """Raise `Overloaded` when more waits to be planned or sent than can be held."""
        now_ms = self.clock.monotonic_ms()
        if now_ms - self._checked_ms >= BACKLOG_CHECK_MS:
            self._checked_ms = now_ms
            self._backlog = sum((await self.store.backlog_of(_WAITING)).values())
        if self._backlog >= self._backlog_max:
            raise Overloaded(f"{self._backlog} events wait to be planned or sent; try again", retry_after_s=1)

    async def admission(self, tenant: str, wants: Wants) -> Admission:
        """Return the checks of bodies that want these definitions, as of now."""
        definitions = await gather_definitions(self.directory, tenant, wants)
        return Admission(definitions, self._schemas, self.clock.now_ms())

    async def checked(self, tenant: str, body: NotificationIn) -> Request:
        """Return the request of a notification whose recipients are all known. Raises `InvalidField`."""
        request = (await self.admission(tenant, wants_of([body]))).notification(body)
        unknown = await gather_unknown_users(self.directory, tenant, [request])
        if unknown:
            raise unknown_user(request, unknown)
        return request

    async def remembered(self, tenant: str, keys: Collection[str]) -> dict[str, IdempotencyEntry]:
        """Return what is remembered of idempotency keys."""
        return await gather_answers(self.store, self.clock, tenant, keys)

    def stamp(self, tenant: str, request: Request) -> Taken:
        """Give a checked request its id and place on the journal."""
        now_ms = self.clock.now_ms()
        partition = ids.partition_for(tenant, owner_of(request), self.store.partitions)
        id_ = ids.notification_id(now_ms, partition, self.clock.entropy(ids.ENTROPY_BYTES))
        return Taken(id_, tenant, now_ms, Lane(request.lane), partition, request)
