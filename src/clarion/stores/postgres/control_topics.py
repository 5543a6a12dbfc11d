"""Topics and their members on PostgreSQL. Members are ordinals in order, so an audience page is a range scan."""

from collections.abc import Collection, Sequence
from typing import Final

from clarion.domain.errors import InvalidField, NotFound
from clarion.ports.clock import Clock
from clarion.ports.control_users import TopicRecord
from clarion.stores.postgres.control_run import Runner, Transaction

_PUT: Final = """
INSERT INTO topics (tenant, key, name, created_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant, key) DO UPDATE SET name = excluded.name
"""
_GET: Final = "SELECT key, name, created_ms FROM topics WHERE tenant = $1 AND key = $2"
_PAGE: Final = "SELECT key, name, created_ms FROM topics WHERE tenant = $1 AND key > $2 ORDER BY key LIMIT $3"
_KNOWN: Final = "SELECT key FROM topics WHERE tenant = $1 AND key = ANY($2::text[])"
_REMOVE: Final = "DELETE FROM topics WHERE tenant = $1 AND key = $2"
_REMOVE_MEMBERS: Final = "DELETE FROM topic_members WHERE tenant = $1 AND topic = $2"
_ORDINALS: Final = "SELECT user_id, ordinal FROM users WHERE tenant = $1 AND user_id = ANY($2::text[])"
# The lock lets no user be erased before the membership is stored, which the erasure would miss.
_LOCKED_ORDINALS: Final = f"{_ORDINALS} ORDER BY user_id FOR KEY SHARE"
_JOIN: Final = """
INSERT INTO topic_members (tenant, topic, ordinal) SELECT $1, $2, ordinal FROM unnest($3::bigint[]) AS given (ordinal)
ORDER BY ordinal ON CONFLICT DO NOTHING
"""
_LEAVE: Final = "DELETE FROM topic_members WHERE tenant = $1 AND topic = $2 AND ordinal = ANY($3::bigint[])"
# The LIMIT within makes it a look into an index for each member, never a merge with all users of the tenant.
_MEMBERS: Final = """
SELECT u.user_id FROM topic_members m,
    LATERAL (SELECT user_id FROM users WHERE tenant = $1 AND ordinal = m.ordinal LIMIT 1) u
WHERE m.tenant = $1 AND m.topic = $2 AND m.ordinal > $3 ORDER BY m.ordinal LIMIT $4
"""


async def require_topics(tx: Transaction, tenant: str, keys: Collection[str]) -> None:
    """Raise `NotFound`, naming a topic, when one of the topics does not exist. None can be removed before the transaction
    ends."""
    if not keys:
        return
    found = await tx.rows(f"{_KNOWN} ORDER BY key FOR KEY SHARE", tenant, list(keys))
    missing = set(keys) - {row[0] for row in found}
    if missing:
        raise NotFound(f"no such topic: {min(missing)}")


class PostgresTopics:
    """The topics of a tenant and their members."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def put(self, tenant: str, key: str, name: str) -> TopicRecord:
        """Create a topic or rename it."""
        now_ms = self._clock.now_ms()

        async def work(tx: Transaction) -> TopicRecord:
            await tx.define(tenant, _PUT, tenant, key, name, now_ms)
            return TopicRecord(*await tx.row(_GET, tenant, key))

        return await self._runner.run(tenant, work)

    async def get(self, tenant: str, key: str) -> TopicRecord | None:
        """Return a topic, or None when there is none."""
        row = await self._runner.row(tenant, _GET, tenant, key)
        return TopicRecord(*row) if row else None

    async def page(self, tenant: str, after: str, limit: int) -> list[TopicRecord]:
        """Return topics in the order of their keys."""
        return [TopicRecord(*row) for row in await self._runner.rows(tenant, _PAGE, tenant, after, limit)]

    async def known(self, tenant: str, keys: Sequence[str]) -> frozenset[str]:
        """Return those of the keys that are topics."""
        return (
            frozenset(row[0] for row in await self._runner.rows(tenant, _KNOWN, tenant, list(keys)))
            if keys
            else frozenset()
        )

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a topic and its memberships; return whether there was one."""

        async def work(tx: Transaction) -> bool:
            is_gone = await tx.define(tenant, _REMOVE, tenant, key) > 0  # first: it locks out those who join
            await tx.change(_REMOVE_MEMBERS, tenant, key)
            return is_gone

        return await self._runner.run(tenant, work)

    async def join(self, tenant: str, key: str, user_ids: Sequence[str]) -> int:
        """Add users and return the number of new members. Raises `NotFound` when the topic does not exist, and
        `InvalidField`, naming the first unknown user, when a user does not; nothing is stored then."""

        async def work(tx: Transaction) -> int:
            await require_topics(tx, tenant, [key])
            ordinals = dict(await tx.rows(_LOCKED_ORDINALS, tenant, list(user_ids)))
            for index, user_id in enumerate(user_ids):
                if user_id not in ordinals:
                    raise InvalidField("no such user", field=f"user_ids[{index}]", code="unknown_user")
            return await join(tx, tenant, key, list(ordinals.values()))

        return await self._runner.run(tenant, work)

    async def leave(self, tenant: str, key: str, user_ids: Sequence[str]) -> int:
        """Remove users and return how many were members. Raises `NotFound` when the topic does not exist."""

        async def work(tx: Transaction) -> int:
            await require_topics(tx, tenant, [key])
            ordinals = dict(await tx.rows(_ORDINALS, tenant, list(user_ids)))
            return await tx.change(_LEAVE, tenant, key, list(ordinals.values()))

        return await self._runner.run(tenant, work)

    async def members(self, tenant: str, key: str, after: str, limit: int) -> list[str]:
        """Return user ids in the order in which the users were first stored. Raises `NotFound` when the topic does not
        exist, and `InvalidField` when `after` is no longer a user."""

        async def work(tx: Transaction) -> list[str]:
            await require_topics(tx, tenant, [key])
            start = dict(await tx.rows(_ORDINALS, tenant, [after])).get(after) if after else 0
            if start is None:
                raise InvalidField("points to a user that no longer exists: start from the beginning", field="after")
            return [row[0] for row in await tx.rows(_MEMBERS, tenant, key, start, limit)]

        return await self._runner.run(tenant, work)


async def join(tx: Transaction, tenant: str, key: str, ordinals: list[int]) -> int:
    """Add users whose rows are locked to a topic, and return how many were new."""
    return await tx.change(_JOIN, tenant, key, ordinals)
