"""Topics and their members in `control.db`. Members are ordinals in order, so an audience page is a range scan."""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec
from sqlalchemy import and_, delete, select
from sqlalchemy.dialects.sqlite import insert as upsert

from clarion.domain.errors import InvalidField, NotFound
from clarion.ports.clock import Clock
from clarion.ports.control_users import TopicRecord
from clarion.stores.sqlite.control_run import Row, Runner, Transaction
from clarion.stores.sqlite.control_tables import TOPIC_MEMBERS, TOPICS, USERS

_COLUMNS: Final = [TOPICS.c[name] for name in TopicRecord.__struct_fields__]
_ORDINALS: Final = """
SELECT u.user_id, u.ordinal FROM json_each(?) j CROSS JOIN users u ON u.tenant = ? AND u.user_id = j.value
"""
_JOIN: Final = "INSERT OR IGNORE INTO topic_members VALUES (?, ?, ?) RETURNING 1"
_LEAVE: Final = "DELETE FROM topic_members WHERE tenant = ? AND topic = ? AND ordinal = ? RETURNING 1"


def require_topics(tx: Transaction, tenant: str, keys: Collection[str]) -> None:
    """Raise `NotFound`, naming a topic, when one of the topics does not exist."""
    missing = set(keys) - _known(tx, tenant, keys)
    if missing:
        raise NotFound(f"no such topic: {min(missing)}")


def _known(tx: Transaction, tenant: str, keys: Collection[str]) -> frozenset[str]:
    if not keys:
        return frozenset()
    query = select(TOPICS.c.key).where(TOPICS.c.tenant == tenant, TOPICS.c.key.in_(list(keys)))
    return frozenset(row[0] for row in tx.rows(query))


class SqliteTopics:
    """The topics of a tenant and their members."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def put(self, tenant: str, key: str, name: str) -> TopicRecord:
        """Create a topic or rename it."""
        write = upsert(TOPICS).values(tenant=tenant, key=key, name=name, created_ms=self._clock.now_ms())
        write = write.on_conflict_do_update(index_elements=["tenant", "key"], set_={"name": name})

        def work(tx: Transaction) -> TopicRecord:
            tx.define(tenant, write)
            return TopicRecord(*(_row(tx, tenant, key) or ()))

        return await self._runner.run(work)

    async def get(self, tenant: str, key: str) -> TopicRecord | None:
        """Return a topic, or None when there is none."""
        row = self._runner.read(lambda tx: _row(tx, tenant, key))
        return TopicRecord(*row) if row else None

    async def page(self, tenant: str, after: str, limit: int) -> list[TopicRecord]:
        """Return topics in the order of their keys."""
        query = (
            select(*_COLUMNS)
            .where(TOPICS.c.tenant == tenant, TOPICS.c.key > after)
            .order_by(TOPICS.c.key)
            .limit(limit)
        )  # fmt: skip
        return [TopicRecord(*row) for row in self._runner.read(lambda tx: tx.rows(query))]

    async def known(self, tenant: str, keys: Sequence[str]) -> frozenset[str]:
        """Return those of the keys that are topics."""
        return self._runner.read(lambda tx: _known(tx, tenant, keys)) if keys else frozenset()

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a topic and its memberships; return whether there was one."""
        members = and_(TOPIC_MEMBERS.c.tenant == tenant, TOPIC_MEMBERS.c.topic == key)

        def work(tx: Transaction) -> bool:
            tx.change(delete(TOPIC_MEMBERS).where(members))
            return tx.define(tenant, delete(TOPICS).where(TOPICS.c.tenant == tenant, TOPICS.c.key == key)) > 0

        return await self._runner.run(work)

    async def join(self, tenant: str, key: str, user_ids: Sequence[str]) -> int:
        """Add users and return the number of new members. Raises `NotFound` when the topic does not exist, and
        `InvalidField`, naming the first unknown user, when a user does not; nothing is stored then."""

        def work(tx: Transaction) -> int:
            require_topics(tx, tenant, [key])
            ordinals = _ordinals(tx, tenant, user_ids)
            for index, user_id in enumerate(user_ids):
                if user_id not in ordinals:
                    raise InvalidField("no such user", field=f"user_ids[{index}]", code="unknown_user")
            return sum(len(tx.sql(_JOIN, (tenant, key, ordinal))) for ordinal in sorted(ordinals.values()))

        return await self._runner.run(work)

    async def leave(self, tenant: str, key: str, user_ids: Sequence[str]) -> int:
        """Remove users and return how many were members. Raises `NotFound` when the topic does not exist."""

        def work(tx: Transaction) -> int:
            require_topics(tx, tenant, [key])
            ordinals = _ordinals(tx, tenant, user_ids)
            return sum(len(tx.sql(_LEAVE, (tenant, key, ordinal))) for ordinal in sorted(ordinals.values()))

        return await self._runner.run(work)

    async def members(self, tenant: str, key: str, after: str, limit: int) -> list[str]:
        """Return user ids in the order in which the users were first stored. Raises `NotFound` when the topic does not
        exist, and `InvalidField` when `after` is no longer a user."""

        def work(tx: Transaction) -> list[str]:
            require_topics(tx, tenant, [key])
            start = _ordinals(tx, tenant, [after]).get(after) if after else 0
            if start is None:
                raise InvalidField("points to a user that no longer exists: start from the beginning", field="after")
            query = (
                select(USERS.c.user_id)
                .join(TOPIC_MEMBERS, TOPIC_MEMBERS.c.ordinal == USERS.c.ordinal)
                .where(TOPIC_MEMBERS.c.tenant == tenant, TOPIC_MEMBERS.c.topic == key, TOPIC_MEMBERS.c.ordinal > start)
                .order_by(TOPIC_MEMBERS.c.ordinal)
                .limit(limit)
            )
            return [row[0] for row in tx.rows(query)]

        return self._runner.read(work)


def _row(tx: Transaction, tenant: str, key: str) -> Row | None:
    return tx.row(select(*_COLUMNS).where(TOPICS.c.tenant == tenant, TOPICS.c.key == key))


def _ordinals(tx: Transaction, tenant: str, user_ids: Sequence[str]) -> dict[str, int]:
    return dict(tx.sql(_ORDINALS, (msgspec.json.encode(user_ids).decode(), tenant)))
