"""Who is connected, on PostgreSQL, shared by all processes of an installation. A crash of the server may forget it."""

from collections.abc import Mapping, Sequence
from typing import Final

from clarion.ports.presence import Connected, User
from clarion.stores.postgres.pool import Connection, Database, columns
from clarion.stores.postgres.tenancy import ALL_TENANTS, NO_TENANT, within

_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_RENEW: Final = f"""INSERT INTO presence_gateways AS g (gateway, expires_ms) VALUES ($1, {_NOW} + $2)
    ON CONFLICT (gateway) DO UPDATE SET expires_ms = excluded.expires_ms RETURNING xmax <> 0"""  # noqa: S608
_LAPSED: Final = f"""DELETE FROM presence_gateways WHERE gateway IN (
    SELECT gateway FROM presence_gateways WHERE expires_ms <= {_NOW} AND gateway <> $1 FOR UPDATE SKIP LOCKED
    ) RETURNING gateway"""  # noqa: S608
_RECORD: Final = """INSERT INTO presence AS p (tenant, user_id, gateway, connections)
    SELECT tenant, user_id, $1, connections FROM unnest($2::text[], $3::text[], $4::integer[]) AS n (tenant, user_id, connections)
    WHERE {scope} AND connections > 0 ORDER BY tenant, user_id
    ON CONFLICT (tenant, user_id, gateway) DO UPDATE SET connections = excluded.connections"""
_REMOVE: Final = """DELETE FROM presence AS p USING unnest($2::text[], $3::text[]) AS n (tenant, user_id)
    WHERE {scope} AND p.tenant = n.tenant AND p.user_id = n.user_id AND p.gateway = $1"""
_PRESENT: Final = f"""SELECT p.tenant, p.user_id, sum(p.connections) AS total
    FROM unnest($1::text[], $2::text[]) AS n (tenant, user_id)
    JOIN presence AS p ON p.tenant = n.tenant AND p.user_id = n.user_id
    JOIN presence_gateways AS g ON g.gateway = p.gateway AND g.expires_ms > {_NOW} GROUP BY 1, 2"""  # noqa: S608
_GATEWAYS: Final = f"SELECT count(*) FROM presence_gateways WHERE expires_ms > {_NOW}"  # noqa: S608
_LEFT: Final = "DELETE FROM presence WHERE gateway = ANY ($1::text[])"


class PostgresPresence:
    """Implements `ports/presence.py`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def renew(self, gateway: str, ttl_ms: int) -> bool:
        """Record that a gateway is at work."""

        async def work(db: Connection) -> bool:
            known: bool = await db.fetchval(_RENEW, gateway, ttl_ms)
            lapsed = [row[0] for row in await db.fetch(_LAPSED, gateway)]
            if lapsed:
                await db.execute(_LEFT, lapsed)
            return known

        return await self.database.transact(ALL_TENANTS, work)

    async def record(self, gateway: str, changes: Sequence[Connected]) -> None:
        """Record connections of users at a gateway."""
        tenants = {one.tenant for one in changes}
        there = [one for one in changes if one.connections]
        gone = [(one.tenant, one.user_id) for one in changes if not one.connections]
        if there:
            call = within(tenants, _RECORD, gateway, *columns(there, 3))
            await self.database.run(lambda db: db.execute(*call), repeatable=True)
        if gone:
            leave = within(tenants, _REMOVE, gateway, *columns(gone, 2))
            await self.database.run(lambda db: db.execute(*leave), repeatable=True)

    async def present(self, users: Sequence[User]) -> Mapping[User, int]:
        """Return those of the users who are connected."""
        if not users:
            return {}
        rows = await self.database.fetch({tenant for tenant, _ in users}, _PRESENT, *columns(users, 2))
        return {(tenant, user_id): int(total) for tenant, user_id, total in rows}

    async def gateways(self) -> int:
        """Return how many gateways are at work."""
        found: int = await self.database.fetchval(NO_TENANT, _GATEWAYS)
        return found

    async def withdraw(self, gateway: str) -> None:
        """Forget a gateway and its users."""

        async def work(db: Connection) -> None:
            await db.execute("DELETE FROM presence_gateways WHERE gateway = $1", gateway)
            await db.execute(_LEFT, [gateway])

        await self.database.transact(ALL_TENANTS, work)

    def close(self) -> None:
        """Do nothing: the database is closed by whoever opened it."""
