"""What the waiting side of one step may look at: workflow instances, routes that go on, and schedules.

All of it was read beforehand. A look-up of what was not raises `Lacking`, naming the key.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from clarion.domain.content import Category, Template
from clarion.domain.delivery_state import State
from clarion.domain.user import User
from clarion.plan.columns import Accepted
from clarion.plan.rules.need import Lacking, Need
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
SIGHTINGS: Final = "sightings"
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
_KEPT: Final = frozenset({DEFINITIONS, CATEGORIES})
"""Kinds that are kept from step to step; their keys begin with the tenant."""
STARTS: Final = "starts"
"""Starts of workflows, as `Starting`: whatever they look at."""

Known = Mapping[str, Mapping[Any, Any]]
"""What was read, by kind and key."""
Kept = Mapping[str, dict[tuple[str, Any], Any]]
"""By tenant: definitions and categories that were read for earlier steps and hold, by (kind, key)."""
_NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})
_INSTANCE: Final = msgspec.msgpack.Decoder(Instance)


class Starting:
    """A notification whose workflow starts in the middle of a step. Each is a key of its own."""

    __slots__ = ("item",)

    def __init__(self, item: Accepted) -> None:
        self.item = item


class Unreadable(NamedTuple):
    """Stands for what the store has but could not hand out; the look-up raises `error`, for whoever needs it."""

    error: Exception


class CancelledNews(NamedTuple):
    """Subjects cancelled since the partition looked last, as many as one read holds, and the sequence they reach to."""

    sequence: int
    subjects: tuple[bytes, ...]


class WaitFacts:
    """Facts of a step of one partition out of `partitions`. `cancelled` are those of the notifications that start now which
    were cancelled; `news` is None when nothing was cancelled since the partition looked last."""

    __slots__ = ("_instances", "_known", "cancelled", "kept", "news", "partition", "partitions")

    def __init__(
        self,
        partition: int,
        partitions: int,
        known: Known,
        cancelled: Collection[bytes] = frozenset(),
        news: CancelledNews | None = None,
        kept: Kept = MappingProxyType({}),
    ) -> None:
        self.partition = partition
        self.partitions = partitions
        self.cancelled = cancelled
        self.news = news
        self.kept = kept
        self._known = known
        # Decoded where first asked for: most are both foreseen and moved.
        self._instances: dict[bytes, Instance | None] = {}

    def with_more(self, known: Known) -> "WaitFacts":
        """Return the same facts and more."""
        both = {**self._known}
        for kind, found in known.items():
            before = both.get(kind)
            both[kind] = {**before, **found} if before else found
        more = WaitFacts(self.partition, self.partitions, both, self.cancelled, self.news, self.kept)
        more._instances = self._instances  # what is known does not change
        return more

    def lacks(self, wanted: Need, kinds: Collection[str]) -> Need:
        """Return what of these kinds is wanted and was not read."""
        return Need({
            kind: [key for key in wanted.of(kind) if not self.knows(kind, key)]
            for kind in wanted.kinds() if kind in kinds
        })  # fmt: skip

    def knows(self, kind: str, key: Any) -> bool:
        """Return whether something was read."""
        return key in self._known.get(kind, _NOTHING) or (kind in _KEPT and (kind, key) in self._kept_of(key))

    def cell(self, key: bytes) -> bytes | None:
        """Return the value of a cell as it is stored."""
        value: bytes | None = self._of(CELLS, key)
        return value

    def is_free(self, key: bytes) -> bool:
        """Return whether it is known that no value is stored under a key."""
        return self._known.get(CELLS, _NOTHING).get(key, key) is None

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
        """Return the subjects of those who wait for a signal."""
        subjects: list[bytes] = self._of(WAITS, (tenant, key))
        return subjects

    def definition(self, tenant: str, kind: type[D], key: str, version: int | None = None) -> Defined[D] | None:
        """Return a version of a definition, the newest without one."""
        found: Defined[D] | None = self._of(DEFINITIONS, (tenant, kind, key, version))
        return found

    def user(self, tenant: str, user_id: str) -> User | None:
        """Return a user."""
        found: User | None = self._of(PEOPLE, (tenant, user_id))
        return found

    def people(self) -> Iterable[tuple[str, str, User | None]]:
        """Yield the users that were read: tenant, id, and None for one that is gone."""
        for (tenant, user_id), user in self._known.get(PEOPLE, _NOTHING).items():
            if type(user) is not Unreadable:
                yield tenant, user_id, user

    def seen_ms(self, tenant: str, notification_id: bytes, user_id: str) -> int | None:
        """Return when a user last saw a notification (Unix ms)."""
        at_ms: int | None = self._of(SIGHTINGS, (tenant, notification_id, user_id))
        return at_ms

    def states(self, delivery_ids: Iterable[bytes]) -> list[State]:
        """Return the states of those of the deliveries that have one."""
        known, wanted = self._known.get(STATES, _NOTHING), list(delivery_ids)
        missing = [id_ for id_ in wanted if id_ not in known]
        if missing:
            raise Lacking(Need({STATES: missing}))
        return [state for id_ in wanted if (state := known[id_]) is not None]

    def is_broadcast_cancelled(self, broadcast: bytes) -> bool:
        """Return whether a broadcast was cancelled; an empty id is none."""
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
            found = self._known[kind][key]
        except KeyError:
            if not self.knows(kind, key):
                raise Lacking(Need({kind: (key,)})) from None
            found = self._kept_of(key)[kind, key]
        if type(found) is Unreadable:
            raise found.error
        return found

    def _kept_of(self, key: Any) -> Mapping[tuple[str, Any], Any]:
        return self.kept.get(key[0], _NOTHING)
