"""What taking anything needs, and the bound on what can be held."""

from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from clarion.accept.acceptances import Acceptance
from clarion.accept.admit import Addressed, Admission, owner_of, unknown_user
from clarion.accept.definitions import NOTHING, Wants
from clarion.accept.gather import gather_answers, gather_unknown_users
from clarion.accept.gather_known import Known, Tenants
from clarion.accept.idempotency import Look
from clarion.accept.worker import AcceptWriter, Taken
from clarion.accept.worker_quota import QuotaGate, QuotasOf
from clarion.domain import ids
from clarion.domain.channel import CHANNELS, Lane
from clarion.domain.errors import Overloaded
from clarion.domain.limits import BACKLOG_CHECK_MS, BACKLOG_LOW_CHECK_MS, BACKLOG_LOW_SHARE
from clarion.journal import topics
from clarion.journal.events import Request
from clarion.ports.audiences import Audiences
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.metering import together
from clarion.ports.schemas import Schemas
from clarion.ports.stage_store import IdempotencyEntry, StageStore
from clarion.ports.web import Caller

_WAITING: Final = (topics.GROUP_PLAN, *(topics.group_deliver(channel) for channel in CHANNELS))
"""Groups whose backlog grows with what is accepted."""


Remember: TypeAlias = Callable[[msgspec.Struct], list[IdempotencyEntry]]
"""Returns what has to be stored, in the commit of the request, for an answer to be given again."""


class Asks(NamedTuple):
    """What a request asks for before it is looked at: definitions, users, answers under idempotency keys, event rules, and
    how much waits."""

    wants: Wants = NOTHING
    user_ids: Collection[str] = ()
    keys: Collection[str] = ()
    rules: bool = False
    backlog: bool = True


class Facts(NamedTuple):
    """What was gathered: what is known of the tenant, the users it does not have, and remembered answers, with the look at
    their keys."""

    known: Known
    unknown: set[str]
    answers: dict[str, IdempotencyEntry]
    look: Look

    @property
    def quotas(self) -> QuotasOf:
        """The quotas of the tenant and its keys."""
        return self.known.quotas or {}


Take: TypeAlias = Callable[[Caller, Facts, Remember], Awaitable[Acceptance[Any]]]


class Step(NamedTuple):
    """What a request asks for, and what takes it once that has been gathered."""

    asks: Asks
    take: Take


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
        self._tenants = Tenants(directory)
        self._backlog_max = backlog_max
        self._backlog = self._stamped = 0
        """How much waited when it was looked, and how many notifications this process took since."""
        self._checked_ms = -BACKLOG_LOW_CHECK_MS

    async def gather(self, tenant: str, asks: Asks, look: Look | None = None) -> Facts:
        """Return what is asked for, with the quotas of the tenant: everything side by side, and what is known already not at
        all. `look` is that at the keys asked for."""
        known = self._tenants.known(tenant)
        facts = Facts(known, set(), {}, look or Look())
        reading: list[Coroutine[Any, Any, None]] = []
        if known.quotas is None:
            reading.append(self._tenants.learn_quotas(tenant, known))
        if asks.rules and known.rules is None:
            reading.append(self._tenants.learn_rules(tenant, known))
        if known.lacks(asks.wants):
            reading.append(self._tenants.learn(tenant, known, asks.wants))
        if asks.user_ids:
            reading.append(self._add_unknown(tenant, asks.user_ids, facts))
        if asks.keys:
            reading.append(self._add_answers(tenant, asks.keys, facts))
        if asks.backlog and self._is_look_due():
            self._checked_ms = self.clock.monotonic_ms()  # now, or all that come in this turn of the loop look too
            reading.append(self._look_at_backlog())
        if reading:
            await together(*reading)
        return facts

    def refuse_known_overload(self) -> None:
        """Refuse a request before anything is asked for it, if how much waits was looked at a moment ago."""
        if not self._is_look_due():
            self.refuse_overload()

    def refuse_overload(self) -> None:
        """Raise `Overloaded` when more waits to be planned or sent than can be held."""
        if self._backlog >= self._backlog_max:
            raise Overloaded(f"{self._backlog} events wait to be planned or sent; try again", retry_after_s=1)

    def admission(self, known: Known) -> Admission:
        """Return the checks of bodies whose definitions have been gathered, as of now."""
        return Admission(known.definitions, self._schemas, self.clock.now_ms())

    async def admission_of(self, tenant: str, known: Known, wants: Wants) -> Admission:
        """Return the checks of bodies that want these definitions, which only what was gathered could tell."""
        if known.lacks(wants):
            await self._tenants.learn(tenant, known, wants)
        return self.admission(known)

    def checked(self, body: Addressed, facts: Facts) -> Request:
        """Return the request of a notification whose recipients are all known. Raises `InvalidField`."""
        request = self.admission(facts.known).notification(body)
        if facts.unknown:
            raise unknown_user(request, facts.unknown)
        return request

    async def catch_up(self, tenant: str, facts: Facts) -> None:
        """Look up again the keys whose requests ended since they were: to be called right before these begin."""
        while ended := facts.look.take():
            facts.answers.update(await self.remembered(tenant, ended))

    async def remembered(self, tenant: str, keys: Collection[str]) -> dict[str, IdempotencyEntry]:
        """Return what is remembered of idempotency keys."""
        return await gather_answers(self.store, self.clock, tenant, keys)

    def stamp(self, tenant: str, request: Request) -> Taken:
        """Give a checked request its id and place on the journal."""
        self._stamped += 1
        now_ms = self.clock.now_ms()
        partition = ids.partition_for(tenant, owner_of(request), self.store.partitions)
        id_ = ids.notification_id(now_ms, partition, self.clock.entropy(ids.ENTROPY_BYTES))
        return Taken(id_, tenant, now_ms, Lane(request.lane), partition, request)

    async def _add_unknown(self, tenant: str, user_ids: Collection[str], facts: Facts) -> None:
        facts.unknown.update(await gather_unknown_users(self.directory, tenant, user_ids))

    async def _add_answers(self, tenant: str, keys: Collection[str], facts: Facts) -> None:
        facts.answers.update(await self.remembered(tenant, keys))

    def _is_look_due(self) -> bool:
        low = self._backlog + self._stamped < self._backlog_max * BACKLOG_LOW_SHARE
        every_ms = BACKLOG_LOW_CHECK_MS if low else BACKLOG_CHECK_MS
        return self.clock.monotonic_ms() - self._checked_ms >= every_ms

    async def _look_at_backlog(self) -> None:
        self._stamped = 0
        self._backlog = sum((await self.store.backlog_of(_WAITING)).values())
