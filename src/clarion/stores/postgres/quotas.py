"""Usage of quotas on PostgreSQL, shared by all processes of an installation. A crash of the server may forget it."""

from typing import Final

from clarion.domain.quota import Usage
from clarion.ports.quotas import BucketName
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.tenancy import within
from clarion.stores.postgres.versions import PostgresVersions, Statements

_NAMES: Final = "unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS g (tenant, key_id, kind, n)"
_ROWS: Final = (
    "unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])"
    " WITH ORDINALITY AS g (tenant, key_id, kind, used_m, at_ms, period, n)"
)
_SAME: Final = "u.tenant = g.tenant AND u.key_id = g.key_id AND u.kind = g.kind"
_STATEMENTS: Final = Statements(
    read=f"SELECT g.n, u.version, u.used_m, u.at_ms, u.period FROM {_NAMES} JOIN usage u ON {_SAME}",  # noqa: S608
    lock=f"SELECT g.n, u.version FROM {_NAMES} JOIN usage u ON {_SAME} ORDER BY g.n FOR UPDATE OF u",  # noqa: S608
    insert=f"""
WITH given AS (SELECT * FROM {_ROWS}), stored AS (
    INSERT INTO usage (tenant, key_id, kind, version, used_m, at_ms, period)
    SELECT tenant, key_id, kind, nextval('swap_versions'), used_m, at_ms, period FROM given ORDER BY n
    ON CONFLICT DO NOTHING RETURNING *
)
SELECT g.n, u.version FROM given g JOIN stored u ON {_SAME}
""",  # noqa: S608 - constants
    update=f"""
UPDATE usage u SET version = nextval('swap_versions'), used_m = g.used_m, at_ms = g.at_ms, period = g.period
FROM {_ROWS} WHERE {_SAME} RETURNING g.n, u.version
""",  # noqa: S608 - constants
)
_FORGET: Final = """
DELETE FROM usage
WHERE {scope} AND tenant = $1 AND key_id = $2 AND kind >= $3 AND kind < $4 AND (at_ms <= $5 OR at_ms > $6)
"""


class PostgresQuotas(PostgresVersions[BucketName, Usage]):
    """Implements `ports/quotas.py`."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, _STATEMENTS, (3, 3), tuple, Usage)

    async def forget(self, tenant: str, key_id: str, kinds: tuple[str, str], keep_ms: tuple[int, int]) -> None:
        """Remove the buckets of one owner and a range of kinds, except those whose time is within `keep_ms`."""
        call = within(tenant, _FORGET, tenant, key_id, *kinds, *keep_ms)
        await self.database.run(lambda db: db.execute(*call))
