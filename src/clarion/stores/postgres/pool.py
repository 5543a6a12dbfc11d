"""A bounded pool of connections to one PostgreSQL database, and statements on it with translated errors.

A statement is one round trip and sets its own tenants (`tenancy.py`). Connections keep no state between two uses: no `SET`, no temporary tables, no advisory locks of
a session, so that they may come from PgBouncer in transaction mode. There, `through_pooler` leaves out prepared statements
and the settings that PgBouncer refuses at connecting; the role's own settings then bound statements
(`ALTER ROLE ... SET statement_timeout`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import asyncpg

from clarion.domain.errors import DurabilityError, StoreRewound
from clarion.domain.limits_postgres import (
    POSTGRES_ANSWER_S_MAX,
    POSTGRES_CONNECT_S_MAX,
    POSTGRES_CONNECTIONS_MAX,
    POSTGRES_IDLE_IN_TRANSACTION_MS_MAX,
    POSTGRES_IDLE_S_MAX,
    POSTGRES_RETRIES_MAX,
    POSTGRES_STATEMENT_MS_MAX,
    POSTGRES_STATEMENTS_KEPT_MAX,
)
from clarion.stores.postgres.errors import LOST, RETRIED, unreadable, unwritten
from clarion.stores.postgres.tenancy import Tenants, beginning, within
from clarion.stores.postgres.timeline import UNKNOWN, changed, timeline_of

T = TypeVar("T")
Work = Callable[["Connection"], Awaitable[T]]

_RETRY_S: Final = 0.005


class Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that is given back without a round trip, as no use of it leaves state behind."""

    def get_reset_query(self) -> str:
        """Return nothing to run."""
        return ""


class Database:
    """Statements on the database that a DSN names. It connects at the first use and belongs to one event loop. The DSN
    holds a password and appears in no text."""

    def __init__(
        self,
        dsn: str,
        *,
        role: str = "clarion",
        connections: int = POSTGRES_CONNECTIONS_MAX,
        through_pooler: bool = False,
        direct_dsn: str = "",
        answer_s: int = POSTGRES_ANSWER_S_MAX,
    ) -> None:
        """`direct_dsn` leads past a pooler, for the connection that listens. `answer_s` is how long the answer to a statement is waited for; the server's own bound is `statement_timeout`."""
        self._dsn = dsn
        self._role = role
        self._connections = connections
        self._through_pooler = through_pooler
        self._direct_dsn = direct_dsn if through_pooler else dsn
        self._answer_s = answer_s
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._timeline: str | None = None
        self._is_another_timeline = False

    def __repr__(self) -> str:
        return f"Database(role={self._role!r})"

    async def fetch(self, tenants: Tenants, statement: str, *values: Any) -> list[Any]:
        """Return the rows of a read. Raises `StoreUnavailable` when it cannot be done now."""
        call = within(tenants, statement, *values)
        return await self.read(lambda db: db.fetch(*call))

    async def fetchrow(self, tenants: Tenants, statement: str, *values: Any) -> Any:
        """Return the first row of a read, None without one. Raises `StoreUnavailable`."""
        call = within(tenants, statement, *values)
        return await self.read(lambda db: db.fetchrow(*call))

    async def fetchval(self, tenants: Tenants, statement: str, *values: Any) -> Any:
        """Return the first value of the first row of a read. Raises `StoreUnavailable`."""
        call = within(tenants, statement, *values)
        return await self.read(lambda db: db.fetchval(*call))

    async def read(self, work: Work[T]) -> T:
        """Return the result of a read. A connection that was lost is replaced once. Raises `StoreUnavailable`."""
        for is_last in (False, True):
            try:
                pool = await self.opened()
                async with pool.acquire(timeout=POSTGRES_CONNECT_S_MAX) as connection:
                    return await work(connection)
            except Exception as error:
                if isinstance(error, (*LOST, *RETRIED)) and not is_last and not self._closed:
                    continue
                translated = unreadable(error)
                if translated is None:
                    raise
                raise translated from None
        raise AssertionError("unreachable")

    async def run(self, work: Work[T], *, repeatable: bool = False) -> T:
        """Return the result of a write of one statement (`tenancy.within`), which is its own transaction. See `transact`. A
        caller may repeat a write that is `repeatable` without harm, so an unknown outcome is `Overloaded`, too."""
        return await self._write(work, None, repeatable=repeatable)

    async def transact(self, tenants: Tenants, work: Work[T]) -> T:
        """Return the result of a write of several statements in one transaction over the rows of some tenants.

        It is run again as a whole, a bounded number of times, after a deadlock or serialization failure. Raises
        `Overloaded` when nothing was stored and `DurabilityError` when the connection was lost so that nobody knows. Errors
        of constraints and of the schema's functions pass.
        """
        return await self._write(work, tenants)

    @property
    def timeline(self) -> str:
        """Return the timeline of the first connection, `UNKNOWN` before it or when the server does not tell."""
        return self._timeline or UNKNOWN

    def end(self) -> StoreRewound:
        """Refuse every use from now on, as the server is on another timeline, and return the error of the process."""
        self._is_another_timeline = True
        return changed()

    def acquire(self) -> "Acquired":
        """Return a context manager that yields a connection of the pool; errors are those of the driver."""
        return Acquired(self)

    @property
    def can_listen(self) -> bool:
        """Return whether there is a way to the server itself."""
        return bool(self._direct_dsn)

    async def dedicated(self) -> Connection:
        """Return a connection of its own, outside of the pool, for a listener, which closes it. It needs a session, so it
        never goes through a pooler. Raises errors of the driver."""
        connection: Connection = await asyncpg.connect(self._direct_dsn, **self._options(through_pooler=False))
        try:
            await self._check_timeline(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _check_timeline(self, connection: Connection) -> None:
        """Raise `StoreRewound` when a new connection is to another timeline than the first one."""
        found = await timeline_of(connection)
        if self._timeline is None:
            self._timeline = found
        if found != self._timeline:
            raise self.end()

    async def close(self) -> None:
        """Finish running statements and close all connections."""
        self._closed = True
        async with self._opening:
            if self._pool is not None:
                pool, self._pool = self._pool, None
                try:
                    async with asyncio.timeout(POSTGRES_CONNECT_S_MAX):
                        await pool.close()
                except TimeoutError:
                    pool.terminate()

    async def _write(self, work: Work[T], tenants: Tenants | None, *, repeatable: bool = False) -> T:
        for attempt in range(POSTGRES_RETRIES_MAX + 1):
            sent = False
            try:
                pool = await self.opened()
                async with pool.acquire(timeout=POSTGRES_CONNECT_S_MAX) as connection:
                    sent = True
                    if tenants is None:
                        return await work(connection)
                    async with _Transaction(connection, tenants):
                        sent = False
                        result = await work(connection)
                        sent = True
                    return result
            except Exception as error:
                if isinstance(error, RETRIED) and attempt < POSTGRES_RETRIES_MAX:
                    await asyncio.sleep(_RETRY_S * (attempt + 1))
                    continue
                translated = unwritten(error, sent=sent and not repeatable)
                if translated is None:
                    raise
                raise translated from None
        raise AssertionError("unreachable")

    async def opened(self) -> asyncpg.Pool:
        """Return the pool. Raises `DurabilityError` once closed, `StoreRewound` when the server is on another timeline."""
        if self._is_another_timeline:
            raise changed()
        if self._pool is None:
            async with self._opening:
                if self._closed:
                    raise DurabilityError("the store is closed")
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        self._dsn,
                        min_size=0,
                        max_size=self._connections,
                        max_inactive_connection_lifetime=POSTGRES_IDLE_S_MAX,
                        connection_class=Connection,
                        init=self._check_timeline,
                        **self._options(self._through_pooler),
                    )
        return self._pool

    def _options(self, through_pooler: bool) -> dict[str, Any]:
        settings = {"application_name": f"clarion-{self._role}"}
        if not through_pooler:
            settings |= {
                "statement_timeout": str(POSTGRES_STATEMENT_MS_MAX),
                "idle_in_transaction_session_timeout": str(POSTGRES_IDLE_IN_TRANSACTION_MS_MAX),
                "jit": "off",
            }
        return {
            "timeout": POSTGRES_CONNECT_S_MAX,
            "command_timeout": self._answer_s,
            "server_settings": settings,
            "statement_cache_size": 0 if through_pooler else POSTGRES_STATEMENTS_KEPT_MAX,
            "max_cached_statement_lifetime": 0,
        }


class Acquired:
    """One use of a connection of a pool."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pool: Any = None
        self._connection: Any = None

    async def __aenter__(self) -> Connection:
        self._pool = await self._database.opened()
        self._connection = await self._pool.acquire(timeout=POSTGRES_CONNECT_S_MAX)
        connection: Connection = self._connection
        return connection

    async def __aexit__(self, *_error: object) -> None:
        await self._pool.release(self._connection)


class _Transaction:
    """A transaction whose beginning sets its tenants."""

    def __init__(self, connection: Connection, tenants: Tenants) -> None:
        self._connection = connection
        self._begin = beginning(tenants)

    async def __aenter__(self) -> None:
        await self._connection.execute(self._begin)

    async def __aexit__(self, error: object, *_more: object) -> None:
        if not self._connection.is_closed():
            await self._connection.execute("COMMIT" if error is None else "ROLLBACK")


def columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    """Return rows as `count` lists, one per column, as `unnest` takes them; all lists are empty without rows."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(count)]
