"""The tenants of a transaction. Row-level security lets it see and change rows of these tenants alone, and without any none.

They are the setting `clarion.tenants`, which is set for one transaction and never for a session. A statement that is its own
transaction sets it itself, so it stays one round trip: its condition calls `set_config`, depends on no row, and so is
evaluated once before a row is read. If it were evaluated later, the statement would find no rows.
"""

from collections.abc import Collection
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from clarion.domain.limits_postgres import POSTGRES_STATEMENTS_KEPT_MAX


class TenantScope(Enum):
    """What a statement is about that is not about given tenants."""

    ALL_TENANTS = "*"
    NO_TENANT = ""


ALL_TENANTS: Final = TenantScope.ALL_TENANTS
"""Rows of all tenants, for members of `clarion_worker` alone. Needed where ids without tenants are looked up: by the
fold of outcomes (`StateFold.load`, `states`, `chunk_states`, `prune_captures`), and in the stage store by cursors of
partitions, by commits that move cursors or read cancellations, by `cancellations_after` and by `trim`.

What any role may read across tenants goes through these functions of the schema, which return little:
`key_by_id` (whose key a secret is), `tenants_page` (the operator's list), `keys_expiring` (warnings), `profiles_by_id`
(preferences without names), `journal.cursors_by_id` and `journal.set_cursor_status` (ids that cannot be guessed). The numbers of
`tenant_revisions` can be read by every role."""
NO_TENANT: Final = TenantScope.NO_TENANT
"""Only tables that hold rows of no tenant."""

Tenants = str | Collection[str] | TenantScope

SCOPE: Final = "{scope}"
"""Where a statement has the condition that sets its tenants, unless it is a SELECT: in its outermost WHERE, which is
evaluated before anything below it."""


def within(tenants: Tenants, statement: str, *values: Any) -> tuple[Any, ...]:
    """Return a statement that sets its tenants and its values, as methods of a connection take them."""
    if tenants is NO_TENANT:
        return statement.replace(SCOPE, "true"), *values
    return _scoped(statement, len(values) + 1), *values, setting(tenants)


def setting(tenants: Tenants) -> str:
    """Return the value of `clarion.tenants`: an array of PostgreSQL as text, or `*`."""
    if isinstance(tenants, TenantScope):
        return tenants.value
    given = (tenants,) if isinstance(tenants, str) else tenants
    return "{" + ",".join(map(_quoted, given)) + "}"


def beginning(tenants: Tenants) -> str:
    """Return the message that begins a transaction of several statements, in one round trip."""
    if tenants is NO_TENANT:
        return "BEGIN"
    text = setting(tenants).replace("'", "''")
    return f"BEGIN; SELECT set_config('clarion.tenants', '{text}', true)"


def _quoted(tenant: str) -> str:
    # No tenant's name holds U+0000, which would end the message.
    escaped = tenant.replace("\0", "").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@lru_cache(maxsize=4 * POSTGRES_STATEMENTS_KEPT_MAX)
def _scoped(statement: str, place: int) -> str:
    condition = f"(SELECT set_config('clarion.tenants', ${place}::text, true)) IS NOT NULL"
    if SCOPE in statement:
        return statement.replace(SCOPE, condition)
    return f"SELECT * FROM ({statement}) AS scoped WHERE {condition}"  # noqa: S608 - constants of this backend
