"""The server's timeline: one line of history, which ends when a standby takes over or a backup is restored.

What a process remembers may be of a future that the new line does not have, when replication was asynchronous: positions in
streams, definitions, counts. A new line's frames can have the offsets of lost ones, so a process that went on with its memory
would pass over them. It ends instead, and its successor reads everything anew. Every new connection, every commit of a step and
every renewal of leases is held against the timeline of the process's first connection; the latter two also notice a pooler that
changed the server behind an open connection.
"""

from typing import Final

import asyncpg

from clarion.domain.errors import StoreRewound

TIMELINE: Final = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
"""The timeline that the server writes, in 8 hex digits. A standby refuses to say."""
UNKNOWN: Final = ""
"""The timeline of a server that does not tell it, such as a service that keeps its log elsewhere."""
_UNKNOWABLE: Final = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedFunctionError,
    asyncpg.FeatureNotSupportedError,
)


async def timeline_of(connection: asyncpg.Connection) -> str:
    """Return the timeline of the server behind a connection. Raises errors of the driver."""
    try:
        return str(await connection.fetchval(f"SELECT {TIMELINE}"))
    except _UNKNOWABLE:
        return UNKNOWN


def changed() -> StoreRewound:
    """Return the error of a process that has to end."""
    return StoreRewound("PostgreSQL went on from another point of its history (a failover): this process starts again")
