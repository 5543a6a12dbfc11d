"""API keys."""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import BigInteger, Integer, bindparam, case, delete, func, insert, or_, select, update

from clarion.domain.api_key import key_digest
from clarion.domain.errors import NotFound
from clarion.domain.limits_processes import KEY_NETWORKS_KEPT_MAX
from clarion.ports.clock import Clock
from clarion.ports.control_keys import KeyRecord, KeyUse, new_key, new_secret, successor
from clarion.ports.directory import OPERATOR_LEVEL
from clarion.stores.sql.engine import NO_TENANT, Engine, Row, Transaction, define, first
from clarion.stores.sql.statement import Statement, page_after
from clarion.stores.sql.tables import API_KEYS, KEY_NETWORKS, QUOTAS

_A: Final = API_KEYS.c
_N: Final = KEY_NETWORKS.c
_Q: Final = QUOTAS.c
_LIMIT: Final = bindparam("limit", type_=Integer)
_NOW: Final = bindparam("now_ms", type_=BigInteger)
_COLUMNS: Final = tuple(_A[name] for name in KeyRecord.__struct_fields__)
_OWN: Final = (_A.tenant == bindparam("tenant"), _A.key_id == bindparam("key_id"))
_GET: Final = Statement(select(*_COLUMNS).where(*_OWN))
_LOCKED: Final = Statement(select(*_COLUMNS).where(*_OWN).with_for_update())
_PAGE: Final = Statement(page_after(select(*_COLUMNS), _A.key_id))
_INSERT: Final = Statement(
    insert(API_KEYS).values({
        name: bindparam(name)
        for name in ["key_id", "tenant", "name", "digest", "scopes", "created_ms", "expires_ms", "networks", "replaces"]
    })
)  # fmt: skip
_END: Final = Statement(
    update(API_KEYS).where(*_OWN).values(expires_ms=bindparam("ends_ms"), replaced_by=bindparam("successor"))
)
_COPY_QUOTA: Final = Statement(
    insert(QUOTAS).from_select(
        ["tenant", "key_id", "quota"],
        select(_Q.tenant, bindparam("successor"), _Q.quota).where(
            _Q.tenant == bindparam("tenant"), _Q.key_id == bindparam("key_id")
        ),
    )
)
_NETWORKS: Final = Statement(update(API_KEYS).where(*_OWN).values(networks=bindparam("networks")))
_REVOKE: Final = Statement(update(API_KEYS).where(*_OWN, _A.revoked_ms.is_(None)).values(revoked_ms=_NOW))

_AT: Final = bindparam("at_ms", type_=BigInteger)
_IS_LATER: Final = _A.last_used_ms > _AT
# It locks the key's row, so that two processes do not both store a network as its first use.
_USED: Final = Statement(
    update(API_KEYS)
    .where(*_OWN)
    .values(
        last_used_from=case((_IS_LATER, _A.last_used_from), else_=bindparam("network")),
        last_used_ms=case((_IS_LATER, _A.last_used_ms), else_=_AT),
    )
)
# The id of a key is that of one tenant alone, whose row of the key is locked by then.
_OF_KEY: Final = _N.key_id == bindparam("key_id")
_USED_AGAIN: Final = Statement(
    update(KEY_NETWORKS)
    .where(_OF_KEY, _N.network == bindparam("network"))
    .values(last_ms=case((_N.last_ms > _AT, _N.last_ms), else_=_AT))
)
_ROW: Final = {"key_id": bindparam("key_id"), "network": bindparam("network"), "last_ms": _AT}
_USED_FIRST: Final = Statement(
    insert(KEY_NETWORKS).values(_ROW),
    postgresql=insert(KEY_NETWORKS).values(_ROW | {"tenant": bindparam("tenant")}),
)
_NEWEST: Final = (_N.last_ms.desc(), _N.network)
_KEPT: Final = select(_N.network).where(_OF_KEY).order_by(*_NEWEST).limit(KEY_NETWORKS_KEPT_MAX)
_FORGET: Final = Statement(delete(KEY_NETWORKS).where(_OF_KEY, _N.network.not_in(_KEPT)))
_USES: Final = Statement(
    select(_N.network, _N.last_ms)
    .join_from(API_KEYS, KEY_NETWORKS, _N.key_id == _A.key_id)
    .where(*_OWN)
    .order_by(*_NEWEST)
)

_UNTIL: Final = bindparam("until_ms", type_=BigInteger)
_WARNED: Final = bindparam("warned_before_ms", type_=BigInteger)
_DUE: Final = (
    select(_A.key_id)
    .where(
        _A.revoked_ms.is_(None),
        _A.replaced_by.is_(None),
        _A.expires_ms > _NOW,
        _A.expires_ms <= _UNTIL,
        or_(_A.warned_ms.is_(None), _A.warned_ms <= _WARNED),
    )
    .order_by(_A.expires_ms, _A.key_id)
    .limit(_LIMIT)
)
# No role but the owner reads across tenants; a function of the schema does.
_EXPIRING: Final = Statement(
    update(API_KEYS).where(_A.key_id.in_(_DUE)).values(warned_ms=_NOW).returning(*_COLUMNS),
    postgresql=select(
        *func.keys_expiring(_NOW, _UNTIL, _WARNED, _LIMIT).table_valued(*KeyRecord.__struct_fields__, name="expiring").c
    ),
)


class SqlKeys:
    """Implements `ports.control_keys.Keys`."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def create(
        self,
        tenant: str,
        name: str,
        scopes: Sequence[str],
        expires_ms: int | None = None,
        networks: Sequence[str] = (),
    ) -> tuple[KeyRecord, str]:
        """Create a key and return it with its secret."""
        record, secret = new_key(self._clock, tenant, name, scopes, expires_ms, networks)
        await self._engine.run(tenant, lambda tx: _insert(tx, record, secret))
        return record, secret

    async def get(self, tenant: str, key_id: str) -> KeyRecord | None:
        """Return a key, even a revoked one."""
        row = await first(self._engine.read(tenant, _GET, tenant=tenant, key_id=key_id))
        return None if row is None else _key(row)

    async def page(self, tenant: str, after: str, limit: int) -> list[KeyRecord]:
        """Return keys in the order of their ids."""
        return [_key(row) for row in await self._engine.read(tenant, _PAGE, tenant=tenant, after=after, limit=limit)]

    async def rotate(self, tenant: str, key_id: str, overlap_ms: int) -> tuple[KeyRecord, str]:
        """Create the successor of a key, and end the key after the overlap."""
        new_id, secret = new_secret(self._clock)
        own = {"tenant": tenant, "key_id": key_id}

        async def work(tx: Transaction) -> KeyRecord:
            row = await first(tx.rows(_LOCKED, **own))
            if row is None:
                raise NotFound("no such key")
            ended, after = successor(_key(row), new_id, self._clock.now_ms(), overlap_ms)
            await define(tx, OPERATOR_LEVEL, _END, **own, ends_ms=ended.expires_ms, successor=new_id)
            await _insert(tx, after, secret)
            await define(tx, tenant, _COPY_QUOTA, **own, successor=new_id)
            return after

        return await self._engine.run(tenant, work), secret

    async def set_networks(self, tenant: str, key_id: str, networks: Sequence[str]) -> KeyRecord:
        """Replace the networks that a key may be used from."""
        own = {"tenant": tenant, "key_id": key_id}

        async def work(tx: Transaction) -> KeyRecord:
            if not await define(tx, OPERATOR_LEVEL, _NETWORKS, **own, networks=_text(networks)):
                raise NotFound("no such key")
            return _key((await tx.rows(_GET, **own))[0])

        return await self._engine.run(tenant, work)

    async def revoke(self, tenant: str, key_id: str) -> bool:
        """Revoke a key for good; return whether it existed."""
        own, now_ms = {"tenant": tenant, "key_id": key_id}, self._clock.now_ms()

        async def work(tx: Transaction) -> bool:
            await define(tx, OPERATOR_LEVEL, _REVOKE, **own, now_ms=now_ms)
            return bool(await tx.rows(_GET, **own))

        return await self._engine.run(tenant, work)

    async def record_uses(self, uses: Sequence[KeyUse]) -> list[KeyUse]:
        """Store when and from where keys were last used, and return the uses from networks that are new."""
        ordered = sorted(uses, key=lambda use: use.key_id)  # rows are locked in one order

        async def work(tx: Transaction) -> list[KeyUse]:
            new = {id(use) for use in ordered if await _record(tx, use)}
            return [use for use in uses if id(use) in new]

        return await self._engine.run({use.tenant for use in uses}, work)

    async def networks_of(self, tenant: str, key_id: str) -> list[KeyUse]:
        """Return the networks that a key was used from, the last one first."""
        rows = await self._engine.read(tenant, _USES, tenant=tenant, key_id=key_id)
        return [KeyUse(tenant, key_id, *row) for row in rows]

    async def expiring(self, within_ms: int, again_ms: int, limit: int) -> list[KeyRecord]:
        """Return keys that expire within a time and were not returned for `again_ms`, the first to expire first."""
        now_ms = self._clock.now_ms()
        times = {"now_ms": now_ms, "until_ms": now_ms + within_ms, "warned_before_ms": now_ms - again_ms}
        rows = await self._engine.run(NO_TENANT, lambda tx: tx.rows(_EXPIRING, **times, limit=limit))
        return sorted(map(_key, rows), key=lambda key: (key.expires_ms or 0, key.key_id))


async def _insert(tx: Transaction, record: KeyRecord, secret: str) -> None:
    texts = {"scopes": _text(record.scopes), "networks": _text(record.networks), "digest": key_digest(secret)}
    await define(tx, OPERATOR_LEVEL, _INSERT, **msgspec.structs.asdict(record) | texts)


async def _record(tx: Transaction, use: KeyUse) -> bool:
    """Store a use; return whether the network was not stored before."""
    values = msgspec.structs.asdict(use)
    if not await tx.change(_USED, **values) or await tx.change(_USED_AGAIN, **values):
        return False
    await tx.change(_USED_FIRST, **values)
    await tx.change(_FORGET, key_id=use.key_id)
    return True


def _text(items: Sequence[str]) -> str:
    return msgspec.json.encode(items).decode()


def _key(row: Row) -> KeyRecord:
    values = dict(zip(KeyRecord.__struct_fields__, row, strict=True))
    return KeyRecord(**values | {name: tuple(msgspec.json.decode(values[name])) for name in ("scopes", "networks")})
