"""The consent history of users on PostgreSQL: a row for every entry of the preferences that changed."""

from collections.abc import Iterable, Mapping
from typing import Final

from clarion.domain.preferences import Change
from clarion.ports.control_users import ConsentRecord
from clarion.stores.postgres.control_run import Runner, Transaction
from clarion.stores.postgres.pool import columns

# The rows of the users are locked by then, so no other transaction counts on the same sequences.
_WRITE: Final = """
INSERT INTO consents (tenant, ordinal, sequence, at_ms, category, channel, allowed, until_ms, source)
SELECT $1, ordinal, row_number() OVER (PARTITION BY ordinal ORDER BY n)
        + coalesce((SELECT max(sequence) FROM consents c WHERE c.tenant = $1 AND c.ordinal = given.ordinal), 0),
    $2, category, channel, allowed, until_ms, $3
FROM unnest($4::bigint[], $5::text[], $6::text[], $7::boolean[], $8::bigint[])
    WITH ORDINALITY AS given (ordinal, category, channel, allowed, until_ms, n)
"""
_PAGE: Final = """
SELECT sequence, at_ms, category, channel, allowed, until_ms, source FROM consents
WHERE tenant = $1 AND ordinal = $2 AND sequence < $3 ORDER BY sequence DESC LIMIT $4
"""
_ORDINAL: Final = "SELECT ordinal FROM users WHERE tenant = $1 AND user_id = $2"
_NEWEST: Final = (1 << 63) - 1


class PostgresConsents:
    """Implements `ports.control_users.Consents`."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    async def page(self, tenant: str, user_id: str, before: int | None, limit: int) -> list[ConsentRecord] | None:
        """Return the changes below a sequence number, newest first, or None when there is no such user."""
        found = await self._runner.row(tenant, _ORDINAL, tenant, user_id)
        if found is None:
            return None
        rows = await self._runner.rows(tenant, _PAGE, tenant, found[0], _NEWEST if before is None else before, limit)
        return [ConsentRecord(*row) for row in rows]


async def write_changes(
    tx: Transaction,
    tenant: str,
    changed: Iterable[tuple[str, Change]],
    ordinals: Mapping[str, int],
    source: str,
    at_ms: int,
) -> None:
    """Store changes by user id, in the given order. The users' rows are locked, and `ordinals` are theirs."""
    rows = [(ordinals[user_id], *change) for user_id, change in changed]
    if rows:
        await tx.change(_WRITE, tenant, at_ms, source, *columns(rows, 5))
