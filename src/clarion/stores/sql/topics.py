"""Topics and their members. Members are ordinals in order, so an audience page is a range scan."""

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import BigInteger, Integer, bindparam, delete, select, true

from clarion.domain.errors import InvalidField, NotFound
from clarion.ports.clock import Clock
from clarion.ports.control_users import TopicRecord
from clarion.stores.sql.engine import Engine, Row, Transaction, define, first
from clarion.stores.sql.statement import Among, Many, Statement, page_after, upsert
from clarion.stores.sql.tables import TOPIC_MEMBERS, TOPICS, USERS

_T: Final = TOPICS.c
_M: Final = TOPIC_MEMBERS.c
_U: Final = USERS.c
_LIMIT: Final = bindparam("limit", type_=Integer)
_COLUMNS: Final = tuple(_T[name] for name in TopicRecord.__struct_fields__)
_OWN: Final = (_T.tenant == bindparam("tenant"), _T.key == bindparam("key"))
_PUT: Final = Statement(upsert(TOPICS, "tenant key", {"name": bindparam("name")}))
_GET: Final = Statement(select(*_COLUMNS).where(*_OWN))
_PAGE: Final = Statement(page_after(select(*_COLUMNS), _T.key))
_AMONG: Final = select(_T.key).where(_T.tenant == bindparam("tenant"), Among(_T.key, "keys"))
_KNOWN: Final = Statement(_AMONG)
# The locks let no topic be removed and no user erased before a membership is stored, which the removal would miss.
_LOCKED: Final = Statement(_AMONG.order_by(_T.key).with_for_update(read=True, key_share=True))
_REMOVE: Final = Statement(delete(TOPICS).where(*_OWN))
_OF_TOPIC: Final = (_M.tenant == bindparam("tenant"), _M.topic == bindparam("key"))
_REMOVE_MEMBERS: Final = Statement(delete(TOPIC_MEMBERS).where(*_OF_TOPIC))
_ORDINALS: Final = select(_U.user_id, _U.ordinal).where(_U.tenant == bindparam("tenant"), Among(_U.user_id, "user_ids"))
ORDINALS: Final = Statement(_ORDINALS)
_LOCKED_ORDINALS: Final = Statement(_ORDINALS.order_by(_U.user_id).with_for_update(read=True, key_share=True))
JOIN: Final = Many(
    "topic ordinal:i",
    lambda given: given.insert(
        TOPIC_MEMBERS, {"tenant": bindparam("tenant"), "topic": given["topic"], "ordinal": given["ordinal"]}
    ).on_conflict_do_nothing(),
)
_LEAVE: Final = Statement(delete(TOPIC_MEMBERS).where(*_OF_TOPIC, Among(_M.ordinal, "ordinals")))
_AFTER: Final = (*_OF_TOPIC, _M.ordinal > bindparam("start", type_=BigInteger))
# PostgreSQL looks into an index for each member, and never merges with all users of the tenant, because of the LIMIT within.
_MEMBER: Final = (
    select(_U.user_id)
    .where(_U.tenant == bindparam("tenant"), _U.ordinal == _M.ordinal)
    .correlate(TOPIC_MEMBERS)
    .limit(1)
    .lateral("member")
)
_MEMBERS: Final = Statement(
    select(_U.user_id)
    .join_from(TOPIC_MEMBERS, USERS, _U.ordinal == _M.ordinal)
    .where(*_AFTER)
    .order_by(_M.ordinal)
    .limit(_LIMIT),
    postgresql=select(_MEMBER.c.user_id)
    .join_from(TOPIC_MEMBERS, _MEMBER, true())
    .where(*_AFTER)
    .order_by(_M.ordinal)
    .limit(_LIMIT),
)


async def require_topics(tx: Transaction, tenant: str, keys: Collection[str]) -> None:
    """Raise `NotFound`, naming a topic, when one of the topics does not exist. None can be removed before the transaction
    ends."""
    if keys:
        _check(keys, await tx.rows(_LOCKED, tenant=tenant, keys=list(keys)))


def _check(keys: Collection[str], found: list[Row]) -> None:
    missing = set(keys) - {key for (key,) in found}
    if missing:
        raise NotFound(f"no such topic: {min(missing)}")


class SqlTopics:
    """Implements `ports.control_users.Topics`."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def put(self, tenant: str, key: str, name: str) -> TopicRecord:
        """Create a topic or rename it."""
        now_ms = self._clock.now_ms()

        async def work(tx: Transaction) -> TopicRecord:
            await define(tx, tenant, _PUT, tenant=tenant, key=key, name=name, created_ms=now_ms)
            return TopicRecord(*(await tx.rows(_GET, tenant=tenant, key=key))[0])

        return await self._engine.run(tenant, work)

    async def get(self, tenant: str, key: str) -> TopicRecord | None:
        """Return a topic."""
        row = await first(self._engine.read(tenant, _GET, tenant=tenant, key=key))
        return None if row is None else TopicRecord(*row)

    async def page(self, tenant: str, after: str, limit: int) -> list[TopicRecord]:
        """Return topics in the order of their keys."""
        rows = await self._engine.read(tenant, _PAGE, tenant=tenant, after=after, limit=limit)
        return [TopicRecord(*row) for row in rows]

    async def known(self, tenant: str, keys: Sequence[str]) -> frozenset[str]:
        """Return those of the keys that are topics."""
        rows = await self._engine.read(tenant, _KNOWN, tenant=tenant, keys=list(keys)) if keys else []
        return frozenset(key for (key,) in rows)

    async def remove(self, tenant: str, key: str) -> bool:
        """Remove a topic and its memberships."""

        async def work(tx: Transaction) -> bool:
            removed = await define(tx, tenant, _REMOVE, tenant=tenant, key=key)  # first: it locks out those who join
            await tx.change(_REMOVE_MEMBERS, tenant=tenant, key=key)
            return removed > 0

        return await self._engine.run(tenant, work)

    async def join(self, tenant: str, key: str, user_ids: Sequence[str]) -> int:
        """Add users and return how many were new."""

        async def work(tx: Transaction) -> int:
            await require_topics(tx, tenant, [key])
            found = await tx.rows(_LOCKED_ORDINALS, tenant=tenant, user_ids=list(user_ids))
            ordinals: dict[str, int] = dict(found)
            for index, user_id in enumerate(user_ids):
                if user_id not in ordinals:
                    raise InvalidField("no such user", field=f"user_ids[{index}]", code="unknown_user")
            members = [(key, ordinal) for ordinal in sorted(ordinals.values())]
            return await tx.change_many(JOIN, members, tenant=tenant)

        return await self._engine.run(tenant, work)

    async def leave(self, tenant: str, key: str, user_ids: Sequence[str]) -> int:
        """Remove users and return how many were members."""

        async def work(tx: Transaction) -> int:
            await require_topics(tx, tenant, [key])
            ordinals = [row[1] for row in await tx.rows(ORDINALS, tenant=tenant, user_ids=list(user_ids))]
            return await tx.change(_LEAVE, tenant=tenant, key=key, ordinals=ordinals)

        return await self._engine.run(tenant, work)

    async def members(self, tenant: str, key: str, after: str, limit: int) -> list[str]:
        """Return user ids in the order in which the users were first stored."""
        _check([key], await self._engine.read(tenant, _KNOWN, tenant=tenant, keys=[key]))
        start = 0
        if after:
            found = await self._engine.read(tenant, ORDINALS, tenant=tenant, user_ids=[after])
            if not found:
                raise InvalidField("points to a user that no longer exists: start from the beginning", field="after")
            start = found[0][1]
        rows = await self._engine.read(tenant, _MEMBERS, tenant=tenant, key=key, start=start, limit=limit)
        return [user_id for (user_id,) in rows]
