"""API keys in `control.db`."""

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, and_, delete, insert, literal, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from clarion.domain.api_key import key_digest
from clarion.domain.errors import NotFound
from clarion.domain.limits_processes import KEY_NETWORKS_KEPT_MAX
from clarion.ports.clock import Clock
from clarion.ports.control_keys import KeyRecord, KeyUse, new_key, new_secret, successor
from clarion.ports.directory import OPERATOR_LEVEL
from clarion.stores.sqlite.control_run import Row, Runner, Transaction
from clarion.stores.sqlite.control_tables import API_KEYS, KEY_NETWORKS, QUOTAS

_COLUMNS: Final = [API_KEYS.c[name] for name in KeyRecord.__struct_fields__]
_USE_COLUMNS: Final = (KEY_NETWORKS.c.network, KEY_NETWORKS.c.last_ms)


class SqliteKeys:
    """API keys, of which only a hash is stored."""

    def __init__(self, runner: Runner, clock: Clock) -> None:
        self._runner = runner
        self._clock = clock

    async def create(
        self,
        tenant: str,
        name: str,
        scopes: Sequence[str],
        expires_ms: int | None = None,
        networks: Sequence[str] = (),
    ) -> tuple[KeyRecord, str]:
        """Create a key and return it with its secret, which cannot be read again."""
        record, secret = new_key(self._clock, tenant, name, scopes, expires_ms, networks)
        await self._runner.run(lambda tx: _insert(tx, record, secret))
        return record, secret

    async def get(self, tenant: str, key_id: str) -> KeyRecord | None:
        """Return a key, even a revoked one."""
        return self._runner.read(lambda tx: _read(tx, tenant, key_id))

    async def page(self, tenant: str, after: str, limit: int) -> list[KeyRecord]:
        """Return keys in the order of their ids, revoked ones included."""
        query = (
            select(*_COLUMNS)
            .where(API_KEYS.c.tenant == tenant, API_KEYS.c.key_id > after)
            .order_by(API_KEYS.c.key_id)
            .limit(limit)
        )
        return [_key(row) for row in self._runner.read(lambda tx: tx.rows(query))]

    async def rotate(self, tenant: str, key_id: str, overlap_ms: int) -> tuple[KeyRecord, str]:
        """Create the successor of a key, with its quota, and end the key after the overlap. Raises `NotFound` and
        `Conflict`."""
        new_id, secret = new_secret(self._clock)
        quota = select(QUOTAS.c.tenant, literal(new_id), QUOTAS.c.quota).where(
            QUOTAS.c.tenant == tenant, QUOTAS.c.key_id == key_id
        )

        def work(tx: Transaction) -> KeyRecord:
            before = _read(tx, tenant, key_id)
            if before is None:
                raise NotFound("no such key")
            ended, after = successor(before, new_id, self._clock.now_ms(), overlap_ms)
            changes = {"expires_ms": ended.expires_ms, "replaced_by": ended.replaced_by}
            tx.define(OPERATOR_LEVEL, update(API_KEYS).where(_own(tenant, key_id)).values(**changes))
            _insert(tx, after, secret)
            tx.define(tenant, insert(QUOTAS).from_select(["tenant", "key_id", "quota"], quota))
            return after

        return await self._runner.run(work), secret

    async def set_networks(self, tenant: str, key_id: str, networks: Sequence[str]) -> KeyRecord:
        """Replace the networks that a key may be used from. Raises `NotFound`."""
        write = update(API_KEYS).where(_own(tenant, key_id)).values(networks=_text(networks))

        def work(tx: Transaction) -> KeyRecord | None:
            tx.define(OPERATOR_LEVEL, write)
            return _read(tx, tenant, key_id)

        record = await self._runner.run(work)
        if record is None:
            raise NotFound("no such key")
        return record

    async def revoke(self, tenant: str, key_id: str) -> bool:
        """Revoke a key permanently; return whether there was such a key."""
        own = _own(tenant, key_id)
        write = update(API_KEYS).where(own, API_KEYS.c.revoked_ms.is_(None)).values(revoked_ms=self._clock.now_ms())

        def work(tx: Transaction) -> bool:
            tx.define(OPERATOR_LEVEL, write)
            return tx.row(select(API_KEYS.c.key_id).where(own)) is not None

        return await self._runner.run(work)

    async def record_uses(self, uses: Sequence[KeyUse]) -> list[KeyUse]:
        """Store when and from where keys were last used, and return the uses from networks that were not stored for
        their key before."""
        return await self._runner.run(lambda tx: [use for use in uses if _record(tx, use)])

    async def networks_of(self, tenant: str, key_id: str) -> list[KeyUse]:
        """Return the networks that a key was used from, the last one first."""
        query = (
            select(*_USE_COLUMNS)
            .join(API_KEYS, API_KEYS.c.key_id == KEY_NETWORKS.c.key_id)
            .where(_own(tenant, key_id))
            .order_by(KEY_NETWORKS.c.last_ms.desc(), KEY_NETWORKS.c.network)
        )
        return [KeyUse(tenant, key_id, *row) for row in self._runner.read(lambda tx: tx.rows(query))]

    async def expiring(self, within_ms: int, again_ms: int, limit: int) -> list[KeyRecord]:
        """Return keys that expire within a time and were not returned for `again_ms`, the first to expire first."""
        now_ms, keys = self._clock.now_ms(), API_KEYS.c
        query = (
            select(*_COLUMNS)
            .where(
                keys.revoked_ms.is_(None),
                keys.replaced_by.is_(None),
                keys.expires_ms > now_ms,
                keys.expires_ms <= now_ms + within_ms,
                or_(keys.warned_ms.is_(None), keys.warned_ms <= now_ms - again_ms),
            )
            .order_by(keys.expires_ms, keys.key_id)
            .limit(limit)
        )

        def work(tx: Transaction) -> list[KeyRecord]:
            found = [_key(row) for row in tx.rows(query)]
            if found:
                ids = [key.key_id for key in found]
                tx.change(update(API_KEYS).where(keys.key_id.in_(ids)).values(warned_ms=now_ms))
            return found

        return await self._runner.run(work)


def _insert(tx: Transaction, record: KeyRecord, secret: str) -> None:
    row = msgspec.structs.asdict(record) | {
        "scopes": _text(record.scopes), "networks": _text(record.networks), "digest": key_digest(secret),
    }  # fmt: skip
    tx.define(OPERATOR_LEVEL, insert(API_KEYS).values(**row))


def _record(tx: Transaction, use: KeyUse) -> bool:
    """Store a use; return whether the network was not stored before."""
    kept, key_id = KEY_NETWORKS.c, use.key_id
    used = {"last_used_ms": use.at_ms, "last_used_from": use.network}
    newest = or_(API_KEYS.c.last_used_ms.is_(None), API_KEYS.c.last_used_ms <= use.at_ms)
    place = and_(kept.key_id == key_id, kept.network == use.network)
    if tx.row(select(API_KEYS.c.key_id).where(_own(use.tenant, key_id))) is None:
        return False
    tx.change(update(API_KEYS).where(_own(use.tenant, key_id), newest).values(**used))
    before = tx.row(select(kept.last_ms).where(place))
    last_ms = use.at_ms if before is None else max(use.at_ms, before[0])
    write = upsert(KEY_NETWORKS).values(key_id=key_id, network=use.network, last_ms=last_ms)
    tx.change(write.on_conflict_do_update(index_elements=["key_id", "network"], set_={"last_ms": last_ms}))
    if before is None:
        older = (
            select(kept.network)
            .where(kept.key_id == key_id)
            .order_by(kept.last_ms.desc(), kept.network)
            .limit(-1)
            .offset(KEY_NETWORKS_KEPT_MAX)
        )
        tx.change(delete(KEY_NETWORKS).where(kept.key_id == key_id, kept.network.in_(older)))
    return before is None


def _own(tenant: str, key_id: str) -> ColumnElement[bool]:
    return and_(API_KEYS.c.tenant == tenant, API_KEYS.c.key_id == key_id)


def _read(tx: Transaction, tenant: str, key_id: str) -> KeyRecord | None:
    row = tx.row(select(*_COLUMNS).where(_own(tenant, key_id)))
    return None if row is None else _key(row)


def _text(items: Sequence[str]) -> str:
    return msgspec.json.encode(items).decode()


def _key(row: Row) -> KeyRecord:
    values = dict(zip(KeyRecord.__struct_fields__, row, strict=True))
    return KeyRecord(
        **values | {name: tuple(msgspec.json.decode(values[name])) for name in ("scopes", "networks")}
    )  # fmt: skip
