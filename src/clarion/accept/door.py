"""What taking anything needs, and the bound on what can be held."""

from collections.abc import Callable
from typing import Final

from clarion.accept.admit import Admission, owner_of, unknown_user
from clarion.accept.idempotency import Once
from clarion.accept.quota import QuotaGate
from clarion.accept.shapes import NotificationIn
from clarion.accept.worker import AcceptWriter, Taken
from clarion.domain import ids
from clarion.domain.channel import CHANNELS, Lane
from clarion.domain.errors import Overloaded
from clarion.domain.limits import BACKLOG_CHECK_MS
from clarion.journal import topics
from clarion.journal.events import Request
from clarion.ports.audiences import Audiences
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.journal import Journal
from clarion.ports.schemas import Schemas

_WAITING: Final = (topics.GROUP_PLAN, *(topics.group_deliver(channel) for channel in CHANNELS))
"""Groups whose backlog grows with what is accepted."""


class Door:
    """What taking a notification needs: facts, the writer, ids, and the bounds on what can be held and may be asked for."""

    def __init__(
        self,
        journal: Journal,
        directory: Directory,
        schemas: Schemas,
        writer: AcceptWriter,
        clock: Clock,
        known: Callable[[str, bytes], bool],
        quotas: QuotaGate,
        audiences: Audiences,
        *,
        backlog_max: int,
    ) -> None:
        self.journal = journal
        self.directory = directory
        self._schemas = schemas
        self.writer = writer
        self.clock = clock
        self.known = known
        self.quotas = quotas
        self.audiences = audiences
        self.once = Once(journal)
        self._backlog_max = backlog_max
        self._backlog = 0
        self._checked_ms = -BACKLOG_CHECK_MS

    def refuse_overload(self) -> None:
        """Raise `Overloaded` when more waits to be planned or sent than can be held."""
        now_ms = self.clock.monotonic_ms()
        if now_ms - self._checked_ms >= BACKLOG_CHECK_MS:
            self._checked_ms = now_ms
            self._backlog = sum(self.journal.backlog(group) for group in _WAITING)
        if self._backlog >= self._backlog_max:
            raise Overloaded(f"{self._backlog} events wait to be planned or sent; try again", retry_after_s=1)

    def admission(self, tenant: str) -> Admission:
        """Return the checks of a tenant's request as of now: what was defined a moment ago counts."""
        self.directory.revision()
        return Admission(self.directory, self._schemas, tenant, self.clock.now_ms())

    def checked(self, tenant: str, body: NotificationIn) -> Request:
        """Return the request of a notification whose recipients are all known. Raises `InvalidField`."""
        admission = self.admission(tenant)
        request = admission.notification(body)
        unknown = admission.unknown_users([request])
        if unknown:
            raise unknown_user(request, unknown)
        return request

    def stamp(self, tenant: str, request: Request) -> Taken:
        """Give a checked request its id and place on the journal."""
        now_ms = self.clock.now_ms()
        partition = ids.partition_for(tenant, owner_of(request), self.journal.partitions)
        id_ = ids.notification_id(now_ms, partition, self.clock.entropy(ids.ENTROPY_BYTES))
        return Taken(id_, tenant, now_ms, Lane(request.lane), partition, request)
