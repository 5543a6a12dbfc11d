"""Facts of one step for waiting work: workflow instances, routes that continue, and schedules.

All of them were gathered before. A look-up of any other fact raises `MissingFacts`, naming the key.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from clarion.domain.content import Category, Template
from clarion.domain.delivery_state import State
from clarion.domain.user import User
from clarion.plan.columns import PlanItem
from clarion.plan.rules.need import MissingFacts, Need
from clarion.plan.workflow.instance import INSTANCE_CELL, Instance
from clarion.ports.directory import D, Defined

CELLS: Final = "cells"
"""Keys of cells of the partition."""
CELLS_UNDER: Final = "cells_under"
"""Prefixes of keys of cells of the partition."""
WAITS: Final = "waits"
"""Signals, as (tenant, key)."""
DEFINITIONS: Final = "definitions"
"""Definitions, as (tenant, type, key, version); the version is None for the newest."""
PEOPLE: Final = "people"
"""Users that instances are about, as (tenant, user id)."""
SEEN_RECEIPTS: Final = "sightings"
"""As (tenant, notification id, user id)."""
STATES: Final = "states"
"""Delivery ids."""
BROADCASTS: Final = "broadcasts_of_instances"
"""Broadcast ids."""
CATEGORIES: Final = "categories"
"""As (tenant, key)."""
TEMPLATES: Final = "templates"
"""As (tenant, key)."""
TOPICS: Final = "topics"
"""As (tenant, key)."""
_CACHED: Final = frozenset({DEFINITIONS, CATEGORIES})
"""Kinds that are cached between steps; their keys begin with the tenant."""
STARTS: Final = "starts"
"""Starts of workflows, as `Starting`: all facts that they need."""

FactsByKind = Mapping[str, Mapping[Any, Any]]
"""Gathered facts, by kind and key."""
CachedFacts = Mapping[str, dict[tuple[str, Any], Any]]
"""By tenant: valid definitions and categories that were read for earlier steps, by (kind, key)."""
_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})
_INSTANCE: Final = msgspec.msgpack.Decoder(Instance)


class Starting:
    """A notification whose workflow starts in the middle of a step. Instances compare by identity, so that each is a
    separate key."""

    __slots__ = ("item",)

    def __init__(self, item: PlanItem) -> None:
        self.item = item


class Unreadable(NamedTuple):
    """Placeholder of a fact that could not be read; a look-up raises `error`, so that only the decisions that need it
    fail."""

    error: Exception


class NewCancellations(NamedTuple):
    """Subjects cancelled since the partition last read cancellations, at most one read's worth, and the sequence of the
    last one."""

    sequence: int
    subjects: tuple[bytes, ...]


class WaitFacts:
    """Facts of a step of one partition out of `partitions`. `cancelled` are the cancelled ones of the notifications
    that start now; `cancellations` is None when nothing was cancelled since the partition last read them."""

    __slots__ = ("_facts", "_instances", "cached", "cancellations", "cancelled", "partition", "partitions")

    def __init__(
        self,
        partition: int,
        partitions: int,
        known: FactsByKind,
        cancelled: Collection[bytes] = frozenset(),
        new_cancellations: NewCancellations | None = None,
        cached: CachedFacts = MappingProxyType({}),
    ) -> None:
        self.partition = partition
        self.partitions = partitions
        self.cancelled = cancelled
        self.cancellations = new_cancellations
        self.cached = cached
        self._facts = known
        # Decoded at the first look-up: most are needed by both the prefetch and the move.
        self._instances: dict[bytes, Instance | None] = {}

    def with_more(self, known: FactsByKind) -> "WaitFacts":
        """Return the facts extended by more."""
        both = {**self._facts}
        for kind, found in known.items():
            before = both.get(kind)
            both[kind] = {**before, **found} if before else found
        more = WaitFacts(self.partition, self.partitions, both, self.cancelled, self.cancellations, self.cached)
        more._instances = self._instances  # gathered facts do not change
        return more

    def missing(self, wanted: Need, kinds: Collection[str]) -> Need:
        """Return the wanted facts of these kinds that were not gathered."""
        return Need({
            kind: [key for key in wanted.of(kind) if not self.knows(kind, key)]
            for kind in wanted.kinds() if kind in kinds
        })  # fmt: skip

    def knows(self, kind: str, key: Any) -> bool:
        """Return whether a fact was gathered."""
        return key in self._facts.get(kind, _NOTHING) or (kind in _CACHED and (kind, key) in self._cached_of(key))

    def cell(self, key: bytes) -> bytes | None:
        """Return the value of a cell as it is stored."""
        value: bytes | None = self._of(CELLS, key)
        return value

    def is_free(self, key: bytes) -> bool:
        """Return whether a key was gathered and has no stored value."""
        return self._facts.get(CELLS, _NOTHING).get(key, key) is None

    def cells_under(self, prefix: bytes) -> Mapping[bytes, bytes]:
        """Return the stored values under a prefix."""
        found: Mapping[bytes, bytes] = self._of(CELLS_UNDER, prefix)
        return found

    def instance(self, id_: bytes) -> Instance | None:
        """Return an open instance as it is stored."""
        if id_ not in self._instances:
            value = self.cell(INSTANCE_CELL + id_)
            self._instances[id_] = None if value is None else _INSTANCE.decode(value)
        return self._instances[id_]

    def waits(self, tenant: str, key: bytes) -> list[bytes]:
        """Return the subjects of the waits for a signal."""
        subjects: list[bytes] = self._of(WAITS, (tenant, key))
        return subjects

    def definition(self, tenant: str, kind: type[D], key: str, version: int | None = None) -> Defined[D] | None:
        """Return a version of a definition, the newest without a version; None if it does not exist."""
        found: Defined[D] | None = self._of(DEFINITIONS, (tenant, kind, key, version))
        return found

    def user(self, tenant: str, user_id: str) -> User | None:
        """Return a user, None for a deleted one."""
        found: User | None = self._of(PEOPLE, (tenant, user_id))
        return found

    def people(self) -> Iterable[tuple[str, str, User | None]]:
        """Yield the gathered users as (tenant, id, user), with None for a deleted user."""
        for (tenant, user_id), user in self._facts.get(PEOPLE, _NOTHING).items():
            if type(user) is not Unreadable:
                yield tenant, user_id, user

    def seen_ms(self, tenant: str, notification_id: bytes, user_id: str) -> int | None:
        """Return when a user last saw a notification (Unix ms), None if never."""
        at_ms: int | None = self._of(SEEN_RECEIPTS, (tenant, notification_id, user_id))
        return at_ms

    def states(self, delivery_ids: Iterable[bytes]) -> list[State]:
        """Return the states of deliveries; a delivery without a state is left out."""
        known, wanted = self._facts.get(STATES, _NOTHING), list(delivery_ids)
        missing = [id_ for id_ in wanted if id_ not in known]
        if missing:
            raise MissingFacts(Need({STATES: missing}))
        return [state for id_ in wanted if (state := known[id_]) is not None]

    def is_broadcast_cancelled(self, broadcast: bytes) -> bool:
        """Return whether a broadcast was cancelled; False for an empty id."""
        return bool(broadcast) and self._of(BROADCASTS, broadcast) == "cancelled"

    def category(self, tenant: str, key: str) -> Category | None:
        """Return a category."""
        found: Category | None = self._of(CATEGORIES, (tenant, key))
        return found

    def template(self, tenant: str, key: str) -> Template | None:
        """Return a template."""
        found: Template | None = self._of(TEMPLATES, (tenant, key))
        return found

    def topic_exists(self, tenant: str, key: str) -> bool:
        """Return whether a tenant has a topic."""
        return bool(self._of(TOPICS, (tenant, key)))

    def _of(self, kind: str, key: Hashable) -> Any:
        try:
            found = self._facts[kind][key]
        except KeyError:
            if not self.knows(kind, key):
                raise MissingFacts(Need({kind: (key,)})) from None
            found = self._cached_of(key)[kind, key]
        if type(found) is Unreadable:
            raise found.error
        return found

    def _cached_of(self, key: Any) -> Mapping[tuple[str, Any], Any]:
        return self.cached.get(key[0], _NOTHING)
