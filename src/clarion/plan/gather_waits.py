"""Reads the facts of waiting work: cells, waits, users, definitions, seen receipts and states, kind by kind."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Hashable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from clarion.domain.limits_processes import SIGNAL_WAITS_MAX
from clarion.plan.columns import PlanItem
from clarion.plan.gather_cancelled import CancellationLog
from clarion.plan.gather_definitions import DefinitionCache
from clarion.plan.gather_each import read_each
from clarion.plan.prefetch import prefetch, starting
from clarion.plan.rules.need import Need
from clarion.plan.wait_facts import (
    BROADCASTS,
    CATEGORIES,
    CELLS,
    CELLS_UNDER,
    DEFINITIONS,
    PEOPLE,
    SEEN_RECEIPTS,
    STATES,
    TEMPLATES,
    TOPICS,
    WAITS,
    Unreadable,
    WaitFacts,
)
from clarion.plan.work import Work, tenants_of
from clarion.ports.directory import Directory
from clarion.ports.expressions import Expressions
from clarion.ports.seen_receipts import SeenReceipts
from clarion.ports.stage_store import Lease, StageStore
from clarion.ports.state import DeliveryStates
from clarion.runtime.followed import catch_up
from clarion.runtime.metering import together

_PAGE: Final = 500
Ahead: TypeAlias = tuple[WaitFacts, list[PlanItem]]
"""Facts, and placeholders of the notifications that will be sent."""
_Keys = Collection[Any]
_Found = Mapping[Any, Any]


class WaitGatherer:
    """Gathers for the steps of one process; caches definitions and recent cancellations."""

    def __init__(
        self,
        store: StageStore,
        directory: Directory,
        states: DeliveryStates,
        seen_receipts: SeenReceipts,
        expressions: Expressions,
    ) -> None:
        self._store = store
        self._directory = directory
        self._states = states
        self._seen_receipts = seen_receipts
        self._expressions = expressions
        self._known = DefinitionCache(directory)
        self.cancelled = CancellationLog(store)
        self._readers: dict[str, Callable[[int, _Keys], Coroutine[Any, Any, _Found]]] = {
            CELLS: self._cells,
            CELLS_UNDER: self._cells_under,
            WAITS: self._waits,
            DEFINITIONS: self._definitions,
            PEOPLE: self._people,
            SEEN_RECEIPTS: self._seen,
            STATES: self._states_of,
            BROADCASTS: self._broadcasts,
            CATEGORIES: self._categories,
            TEMPLATES: self._templates,
            TOPICS: self._topics,
        }

    async def refresh(self, leases: Iterable[Lease] = ()) -> None:
        """Read new cancellations; called before steps, so that these need not read them."""
        await self.cancelled.refresh(leases)

    async def gather(self, work: Work, lease: Lease, now_ms: int) -> Ahead:
        """Return the facts for a batch of a partition, and placeholders of the notifications that its workflows and
        routes will send."""
        new_cancellations = await self.cancelled.new_cancellations(lease)
        cancelled = self.cancelled.cancelled_of(starting(work))
        await catch_up(self._directory)
        kept = self._known.of(tenants_of(work))
        facts = WaitFacts(lease.partition, self._store.partitions, {}, cancelled, new_cancellations, kept)
        return await self.look_ahead(work, facts, now_ms)

    async def look_ahead(self, work: Work, facts: WaitFacts, now_ms: int) -> Ahead:
        """Return the facts extended by those that a batch will need in addition, and placeholders of its sends."""
        asking = prefetch(work, facts, self._expressions, now_ms)
        need = next(asking)
        while True:
            facts = await self.more(facts, need)
            try:
                need = asking.send(facts)
            except StopIteration as done:
                return facts, done.value

    async def more(self, facts: WaitFacts, need: Need) -> WaitFacts:
        """Return the facts extended by the needed ones that are not read yet."""
        missing_facts = facts.missing(need, self._readers)
        if not missing_facts:
            return facts
        kinds = list(missing_facts.kinds())
        found = await together(*(self._readers[kind](facts.partition, missing_facts.of(kind)) for kind in kinds))
        known = dict(zip(kinds, found, strict=True))
        self._known.add(facts.cached, known)
        # The values under a prefix are cells as well.
        under = list(known.get(CELLS_UNDER, _EMPTY).values())
        if under:
            known[CELLS] = {
                **known.get(CELLS, _EMPTY),
                **{key: value for cells in under for key, value in cells.items()},
            }
        return facts.with_more(known)

    async def _cells(self, partition: int, keys: _Keys) -> _Found:
        found = await self._store.cells_of([(partition, key) for key in keys])
        return {key: found.get((partition, key)) for key in keys}

    async def _cells_under(self, partition: int, prefixes: _Keys) -> _Found:
        found = await together(*(self._all_under(partition, prefix) for prefix in prefixes))
        return dict(zip(prefixes, found, strict=True))

    async def _all_under(self, partition: int, prefix: bytes) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        after = b""
        while page := await self._store.cells_page(partition, prefix, _PAGE, after):
            found.update(page)
            after = page[-1][0]
            if len(page) < _PAGE:
                break
        return found

    async def _waits(self, _partition: int, signals: _Keys) -> _Found:
        found = await self._store.waits_of(signals, SIGNAL_WAITS_MAX)
        return {signal: [wait.subject for wait in found.get(signal, ())] for signal in signals}

    async def _definitions(self, _partition: int, keys: _Keys) -> _Found:
        return await _apart(self._read_definitions, keys)

    async def _read_definitions(self, keys: _Keys) -> _Found:
        return {**dict.fromkeys(keys), **await self._directory.definitions(keys)}

    async def _people(self, _partition: int, user_names: _Keys) -> _Found:
        return await _apart(self._read_people, user_names)

    async def _read_people(self, user_names: _Keys) -> _Found:
        asked = {
            tenant: sorted(names) for tenant, names in _by_tenant(user_names).items()
        }  # neighbours in the store are read together
        users = await self._directory.users(asked)
        return {(tenant, name): users[tenant].get(name) for tenant, names in asked.items() for name in names}

    async def _seen(self, _partition: int, keys: _Keys) -> _Found:
        return {**dict.fromkeys(keys), **await self._seen_receipts.seen_ms(keys)}

    async def _states_of(self, _partition: int, delivery_ids: _Keys) -> _Found:
        found = await self._states.states(delivery_ids)
        return {id_: found[id_][0] if id_ in found else None for id_ in delivery_ids}

    async def _broadcasts(self, _partition: int, broadcasts: _Keys) -> _Found:
        found = await self._store.cursors_by_id(broadcasts)
        return {broadcast: found[broadcast].status if broadcast in found else None for broadcast in broadcasts}

    async def _categories(self, _partition: int, keys: _Keys) -> _Found:
        return await _apart(self._read_categories, keys)

    async def _read_categories(self, keys: _Keys) -> _Found:
        return {**dict.fromkeys(keys), **await self._directory.categories(keys)}

    async def _templates(self, _partition: int, keys: _Keys) -> _Found:
        return await _apart(self._read_templates, keys)

    async def _read_templates(self, keys: _Keys) -> _Found:
        return {**dict.fromkeys(keys), **await self._directory.templates(keys)}

    async def _topics(self, _partition: int, keys: _Keys) -> _Found:
        return await _apart(self._read_topics, keys)

    async def _read_topics(self, keys: _Keys) -> _Found:
        there_are = await self._directory.topics(keys)
        return {key: key in there_are for key in keys}


_EMPTY: Final[_Found] = {}


def _by_tenant(user_names: Iterable[tuple[str, Hashable]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for tenant, name in user_names:
        found[tenant].append(name)
    return found


async def _apart(read: Callable[[_Keys], Awaitable[_Found]], keys: _Keys) -> _Found:
    """Return the values of keys, with an `Unreadable` for each that cannot be read, so that only the decisions that use
    it fail."""
    found, failed = await read_each(read, list(keys))
    return {**found, **{key: Unreadable(error) for key, error in failed.items()}} if failed else found
