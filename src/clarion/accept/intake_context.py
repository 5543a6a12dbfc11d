"""Shared parts of all kinds of intake: facts, the writer, ids, and the bound on the backlog."""

from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from clarion.accept.acceptances import Acceptance
from clarion.accept.admit import ParsedBody, RequestChecks, partition_key, unknown_user
from clarion.accept.definitions import NO_NAMES, DefinitionNames
from clarion.accept.gather import gather_answers, gather_unknown_users
from clarion.accept.gather_tenants import TenantSnapshot, TenantSnapshots
from clarion.accept.idempotency import KeyLookup
from clarion.accept.worker import AcceptWriter, Admitted
from clarion.accept.worker_quota import QuotaGate, QuotasOf
from clarion.domain import ids
from clarion.domain.channel import CHANNELS, Lane
from clarion.domain.errors import Overloaded
from clarion.domain.limits_processes import BACKLOG_CHECK_MS, BACKLOG_LOW_CHECK_MS, BACKLOG_LOW_SHARE
from clarion.journal import topics
from clarion.journal.events import Request
from clarion.ports.audiences import Audiences
from clarion.ports.clock import Clock
from clarion.ports.directory import Directory
from clarion.ports.schemas import Schemas
from clarion.ports.stage_store import IdempotencyEntry, StageStore
from clarion.ports.web import Caller
from clarion.runtime.metering import together

_WAITING: Final = (topics.GROUP_PLAN, *(topics.group_deliver(channel) for channel in CHANNELS))
"""Groups whose backlog grows with every accepted request."""


Remember: TypeAlias = Callable[[msgspec.Struct], list[IdempotencyEntry]]
"""Returns the entries to store in the request's commit so that the response can be replayed."""


class Lookups(NamedTuple):
    """The facts that a request's checks need: definitions, users, responses under idempotency keys, event rules, and
    the size of the backlog."""

    definitions: DefinitionNames = NO_NAMES
    user_ids: Collection[str] = ()
    keys: Collection[str] = ()
    rules: bool = False
    backlog: bool = True


class AcceptFacts(NamedTuple):
    """The gathered facts: the snapshot of the tenant, the users it does not have, and stored responses with the lookup
    of their keys."""

    tenant: TenantSnapshot
    unknown: set[str]
    answers: dict[str, IdempotencyEntry]
    lookup: KeyLookup

    @property
    def quotas(self) -> QuotasOf:
        """The quotas of the tenant and its keys."""
        return self.tenant.quotas or {}


Accept: TypeAlias = Callable[[Caller, AcceptFacts, Remember], Awaitable[Acceptance[Any]]]


class IntakeStep(NamedTuple):
    """The lookups of a request, and the function that accepts it with the gathered facts."""

    lookups: Lookups
    accept: Accept


class IntakeContext:
    """The shared parts of intake: facts, the writer, ids, the quotas, and the bound on the backlog."""

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
        self._tenants = TenantSnapshots(directory)
        self._backlog_max = backlog_max
        self._backlog = self._stamped = 0
        """The backlog when it was last read, and the number of notifications this process has accepted since."""
        self._checked_ms = -BACKLOG_LOW_CHECK_MS

    async def gather(self, tenant: str, asks: Lookups, look: KeyLookup | None = None) -> AcceptFacts:
        """Return the requested facts and the tenant's quotas. Everything is read concurrently; cached facts are not
        read again. `look` is the lookup of the requested keys."""
        known = self._tenants.snapshot(tenant)
        facts = AcceptFacts(known, set(), {}, look or KeyLookup())
        reading: list[Coroutine[Any, Any, None]] = []
        if known.quotas is None:
            reading.append(self._tenants.load_quotas(tenant, known))
        if asks.rules and known.rules is None:
            reading.append(self._tenants.load_rules(tenant, known))
        if known.is_missing(asks.definitions):
            reading.append(self._tenants.load_definitions(tenant, known, asks.definitions))
        if asks.user_ids:
            reading.append(self._add_unknown(tenant, asks.user_ids, facts))
        if asks.keys:
            reading.append(self._add_answers(tenant, asks.keys, facts))
        if asks.backlog and self._is_backlog_check_due():
            self._checked_ms = self.clock.monotonic_ms()  # set before the read, or all of this loop turn read too
            reading.append(self._check_backlog())
        if reading:
            await together(*reading)
        return facts

    def refuse_overload_early(self) -> None:
        """Refuse a request before anything is read for it, if the backlog was read a moment ago. Raises
        `Overloaded`."""
        if not self._is_backlog_check_due():
            self.refuse_overload()

    def refuse_overload(self) -> None:
        """Raise `Overloaded` when the backlog of events to plan or send has reached its bound."""
        if self._backlog >= self._backlog_max:
            raise Overloaded(f"{self._backlog} events wait to be planned or sent; try again", retry_after_s=1)

    def refuse_exhausted(self, caller: Caller) -> None:
        """Raise `QuotaExceeded` when the quota of a caller has no room for an event, as far as this process knows
        without reading anything."""
        self.quotas.refuse_exhausted(caller, self._tenants.snapshot(caller.tenant).quotas or {})

    def admission(self, known: TenantSnapshot) -> RequestChecks:
        """Return the checks of bodies whose definitions have been gathered, as of now."""
        return RequestChecks(known.definitions, self._schemas, self.clock.now_ms())

    async def admission_of(self, tenant: str, known: TenantSnapshot, wants: DefinitionNames) -> RequestChecks:
        """Return the checks of bodies that name these definitions. Used where the names become known only after the
        first gather."""
        if known.is_missing(wants):
            await self._tenants.load_definitions(tenant, known, wants)
        return self.admission(known)

    def check_recipients(self, body: ParsedBody, facts: AcceptFacts) -> Request:
        """Return the request of a notification whose users all exist. Raises `InvalidField`."""
        request = self.admission(facts.tenant).notification(body)
        if facts.unknown:
            raise unknown_user(request, facts.unknown)
        return request

    async def refresh_answers(self, tenant: str, facts: AcceptFacts) -> None:
        """Look up again the keys whose requests have ended since the first lookup. Call it right before the requests
        begin."""
        while ended := facts.lookup.take_stale():
            facts.answers.update(await self.remembered(tenant, ended))

    async def remembered(self, tenant: str, keys: Collection[str]) -> dict[str, IdempotencyEntry]:
        """Return the stored entries of idempotency keys, by key."""
        return await gather_answers(self.store, self.clock, tenant, keys)

    def assign_id(self, tenant: str, request: Request) -> Admitted:
        """Return a checked request with its new id and its partition of the journal."""
        self._stamped += 1
        now_ms = self.clock.now_ms()
        partitions = self.store.partitions
        slot = ids.slot_for(tenant, partition_key(request), partitions)
        id_ = ids.notification_id(now_ms, slot, self.clock.entropy(ids.ENTROPY_BYTES))
        return Admitted(id_, tenant, now_ms, Lane(request.lane), slot % partitions, request)

    async def _add_unknown(self, tenant: str, user_ids: Collection[str], facts: AcceptFacts) -> None:
        facts.unknown.update(await gather_unknown_users(self.directory, tenant, user_ids))

    async def _add_answers(self, tenant: str, keys: Collection[str], facts: AcceptFacts) -> None:
        facts.answers.update(await self.remembered(tenant, keys))

    def _is_backlog_check_due(self) -> bool:
        low = self._backlog + self._stamped < self._backlog_max * BACKLOG_LOW_SHARE
        every_ms = BACKLOG_LOW_CHECK_MS if low else BACKLOG_CHECK_MS
        return self.clock.monotonic_ms() - self._checked_ms >= every_ms

    async def _check_backlog(self) -> None:
        self._stamped = 0
        self._backlog = sum((await self.store.backlog_of(_WAITING)).values())
