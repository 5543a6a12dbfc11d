"""Topics and their members in memory."""

from bisect import bisect_right
from collections.abc import Collection, Sequence

from msgspec.structs import replace

from clarion.domain.errors import InvalidField, NotFound
from clarion.ports.clock import Clock
from clarion.ports.control_users import TopicRecord
from clarion.stores.memory.control_state import ControlState, StoredTopic, keys_after


def require_topics(state: ControlState, tenant: str, keys: Collection[str]) -> None:
    """Raise `NotFound`, naming a topic, when one of the topics does not exist."""
    missing = set(keys) - state.topics[tenant].keys()
    if missing:
        raise NotFound(f"no such topic: {min(missing)}")


class MemoryTopics:
    """The topics of a tenant and their members."""

    def __init__(self, state: ControlState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def put(self, tenant: str, key: str, name: str) -> TopicRecord:
        """Create a topic or rename it."""
        topics = self._state.topics[tenant]
        if key not in topics:
            topics[key] = StoredTopic(TopicRecord(key, name, self._clock.now_ms()))
        topics[key].record = replace(topics[key].record, name=name)
        self._state.changed(tenant)
        return topics[key].record

    async def get(self, tenant: str, key: str) -> TopicRecord | None:
        """Return a topic, or None when there is none."""
        found = self._state.topics[tenant].get(key)
        return None if found is None else found.record

    async def page(self, tenant: str, after: str, limit: int) -> list[TopicRecord]:
        """Return topics in the order of their keys."""
        topics = self._state.topics[tenant]
        return [topics[key].record for key in keys_after(topics, after, limit)]

    async def known(self, tenant: str, keys: Sequence[str]) -> frozenset[str]:
        """Return those of the keys that are topics."""
        return frozenset(self._state.topics[tenant].keys() & set(keys))

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a topic and its memberships; return whether there was one."""
        if self._state.topics[tenant].pop(key, None) is None:
            return False
        self._state.changed(tenant)
        return True

    async def join(self, tenant: str, key: str, user_ids: Sequence[str]) -> int:
        """Add users and return the number of new members. Raises `NotFound` when the topic does not exist, and
        `InvalidField`, naming the first unknown user, when a user does not; nothing is stored then."""
        require_topics(self._state, tenant, [key])
        ordinals = self._state.ordinals(tenant, user_ids)
        for index, user_id in enumerate(user_ids):
            if user_id not in ordinals:
                raise InvalidField("no such user", field=f"user_ids[{index}]", code="unknown_user")
        return sum(self._state.topics[tenant][key].join(ordinal) for ordinal in ordinals.values())

    async def leave(self, tenant: str, key: str, user_ids: Sequence[str]) -> int:
        """Remove users and return how many were members. Raises `NotFound` when the topic does not exist."""
        require_topics(self._state, tenant, [key])
        ordinals = self._state.ordinals(tenant, user_ids)
        return sum(self._state.topics[tenant][key].leave(ordinal) for ordinal in ordinals.values())

    async def members(self, tenant: str, key: str, after: str, limit: int) -> list[str]:
        """Return user ids in the order in which the users were first stored. Raises `NotFound` when the topic does not
        exist, and `InvalidField` when `after` is no longer a user."""
        require_topics(self._state, tenant, [key])
        start = self._state.ordinals(tenant, [after]).get(after) if after else 0
        if start is None:
            raise InvalidField("points to a user that no longer exists: start from the beginning", field="after")
        members, people = self._state.topics[tenant][key].members, self._state.people[tenant]
        first = bisect_right(members, start)
        return [people.ids[ordinal] for ordinal in members[first : first + limit]]
