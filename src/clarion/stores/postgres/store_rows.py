"""The database of an installation, open for a migration to or from another engine (`ports.store_rows`). One session, which goes past
a pooler and works for all tenants."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg
import msgspec

from clarion.domain.errors import OperatorError
from clarion.domain.limits_postgres import POSTGRES_CONNECT_S_MAX
from clarion.domain.limits_processes import CARRIED_BYTES_MAX, CARRIED_ROWS_MAX
from clarion.domain.user import Device
from clarion.ports.receipt_lookup import BY_VENDOR_ID
from clarion.ports.store_rows import FACT, SEEDED, Mark, Row, Table, Value, decode_mark
from clarion.stores.postgres.errors import words
from clarion.stores.postgres.journal_regroup import check_alone
from clarion.stores.postgres.migrate import find_difference, upgrade
from clarion.stores.postgres.pool import Database, columns
from clarion.stores.postgres.store_tables import HEADS, VENDOR_IDS, Form, forms_of, quoted
from clarion.stores.postgres.tenancy import setting
from clarion.stores.sql.profiles import ProfileKey
from clarion.stores.sql.user_batch import kinds_of

_APPLICATION: Final = "clarion-migrate-store"
_ALL_TENANTS: Final = "SELECT set_config('clarion.tenants', '*', false)"
_TENANTS: Final = "SELECT set_config('clarion.tenants', $1, true)"
_ONE_AT_A_TIME: Final = "SELECT pg_try_advisory_lock(1129070934, 0)"
MARK: Final = "SELECT value FROM facts WHERE name = $1"
_SET_MARK: Final = (
    "INSERT INTO facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_RIGHTS: Final = """SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname IN ('public', 'journal') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
        AND pg_has_role(c.relowner, 'USAGE')) ORDER BY 1 LIMIT 1"""
_SEES_ALL: Final = "SELECT pg_has_role('clarion_worker', 'USAGE')"
_HIGHEST: Final = "SELECT coalesce(max({}), 0) FROM {}"
_LAST: Final = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {}"
_SEQUENCE: Final = "SELECT pg_get_serial_sequence($1, $2)"
_SET_LAST: Final = "SELECT setval($1::regclass, $2)"
_DEVICES: Final = msgspec.msgpack.Decoder(tuple[Device, ...])
_READ_AHEAD: Final = 100


class PostgresRows:
    """Implements `ports.store_rows.StoreRows` over a database."""

    engine = "postgres"

    def __init__(self, dsn: str, db: asyncpg.Connection, forms: dict[str, Form]) -> None:
        address = urlsplit(dsn)
        self.place = f"{address.path.lstrip('/') or 'database'} on {address.hostname or 'the local server'}"
        self._db = db
        self._forms = forms

    @classmethod
    async def source(cls, dsn: str) -> "PostgresRows":
        """Open the database of an installation. Raises `OperatorError` when it has another schema, or is in use."""
        if difference := await _difference(dsn):
            raise OperatorError(difference)
        return await cls._open(dsn)

    @classmethod
    async def target(cls, dsn: str) -> "PostgresRows":
        """Open a database, whose schema is created when there is none. Raises `OperatorError` when it has another one, or is in
        use."""
        difference = await _difference(dsn)
        if difference and "no schema yet" in difference:
            await upgrade(dsn)
        elif difference:
            raise OperatorError(difference)
        return await cls._open(dsn)

    @classmethod
    async def _open(cls, dsn: str) -> "PostgresRows":
        db = await _connected(dsn)
        try:
            with _told():
                if not await db.fetchval(_ONE_AT_A_TIME):
                    raise OperatorError("Another 'clarion migrate-store' is at work on the PostgreSQL database.")
                await check_alone(db, None, "The installation cannot be moved")
                lacking = await db.fetchval(_RIGHTS)
                if lacking is not None:
                    raise OperatorError(
                        f"The user of postgres.dsn lacks rights on the table {lacking}: set postgres.owner_dsn to the owner"
                        " of the schema."
                    )
                if not await db.fetchval(_SEES_ALL):
                    raise OperatorError(
                        "The user of postgres.dsn lacks rights: it is not a member of clarion_worker; set"
                        " postgres.owner_dsn to the owner of the schema."
                    )
                await db.execute(_ALL_TENANTS)
                return cls(dsn, db, await forms_of(db))
        except BaseException:
            db.terminate()
            raise

    async def tables(self) -> list[Table]:
        """Return the tables to be carried over."""
        return [form.table for form in self._forms.values()]

    async def is_empty(self) -> bool:
        """Return whether no table has a row."""
        for form in self._forms.values():
            own = form.source + (" AND number > 1" if form.table.name in SEEDED else "")
            if await self._value(f"SELECT EXISTS (SELECT 1 FROM {own})"):  # noqa: S608 - names of the schema
                return False
        return True

    async def count(self, table: Table) -> int:
        """Return the number of rows of a table."""
        return int(await self._value(f"SELECT count(*) FROM {self._forms[table.name].source}"))  # noqa: S608

    async def rows(self, table: Table, after: Row | None) -> AsyncIterator[list[Row]]:
        """Return the rows of a table whose keys are above `after`, in their order, in batches."""
        form = self._forms[table.name]
        above = "" if after is None else f" AND {form.above(table.key)}"
        statement = f"SELECT {quoted(table.columns)} FROM {form.source}{above} ORDER BY {form.order(table.key)}"  # noqa: S608
        batch: list[Row] = []
        size = 0
        with _told():
            async with self._db.transaction(isolation="repeatable_read", readonly=True):
                async for record in self._db.cursor(statement, *(after or ()), prefetch=_READ_AHEAD):
                    row = tuple(map(_carried, record))
                    batch.append(row)
                    size += sum(len(value) for value in row if isinstance(value, str | bytes))
                    if len(batch) == CARRIED_ROWS_MAX or size >= CARRIED_BYTES_MAX:
                        yield batch
                        batch, size = [], 0
        if batch:
            yield batch

    async def last_key(self, table: Table) -> Row | None:
        """Return the highest key of a table."""
        form = self._forms[table.name]
        order = form.order(table.key, " DESC")
        statement = f"SELECT {quoted(table.key)} FROM {form.source} ORDER BY {order} LIMIT 1"  # noqa: S608
        with _told():
            row = await self._db.fetchrow(statement)
        return None if row is None else tuple(map(_carried, row))

    async def write(self, table: Table, rows: Sequence[Row]) -> None:
        """Store rows in one transaction."""
        form = self._forms[table.name]
        kinds = [form.types[column] for column in table.columns]
        values = [[_stored(value, kind) for value, kind in zip(row, kinds, strict=True)] for row in rows]
        derived, more = _derived(table, rows)
        with _told(table.name):
            async with self._db.transaction():
                if "tenant" in table.columns:  # rows of a tenant are written as those of that tenant
                    place = table.columns.index("tenant")
                    await self._db.execute(_TENANTS, setting({str(row[place]) for row in rows}))
                statement = form.insert(table.columns, derived)
                await self._db.execute(statement, *columns(values, len(kinds)), *more)

    async def given(self) -> dict[str, int]:
        """Return the highest number that each column has given out by itself."""
        return {
            f"{form.table.name}.{column}": max(int(await self._value(_LAST.format(sequence))), highest)
            for form, column, sequence, highest in await self._numbered()
        }

    async def finish(self, given: Mapping[str, int]) -> None:
        """Derive what is not carried over, give out no number again, and let the server plan by what is there now."""
        with _told():
            async with self._db.transaction():
                await self._db.execute(HEADS)
                await self._db.execute(VENDOR_IDS, sorted(BY_VENDOR_ID))
            for form, column, sequence, highest in await self._numbered():
                if last := max(given.get(f"{form.table.name}.{column}", 0), highest):
                    await self._db.execute(_SET_LAST, sequence, last)
            await self._db.execute("ANALYZE")

    async def mark(self) -> Mark | None:
        """Return what the store says of a migration."""
        return decode_mark(await self._value(MARK, FACT))

    async def set_mark(self, mark: Mark | None) -> None:
        """Let the store say something else of a migration."""
        with _told():
            if mark is None:
                await self._db.execute("DELETE FROM facts WHERE name = $1", FACT)
                return
            async with self._db.transaction():
                await self._db.execute(_SET_MARK, FACT, msgspec.json.encode(mark))
                if mark.role == "target":
                    for name in SEEDED:
                        await self._db.execute(f"DELETE FROM {name}")  # noqa: S608 - constants

    async def check_seal(self, probe: str) -> bytes | None:
        """Return the value that shows whether a master key is that of the store."""
        found: bytes | None = await self._value(MARK, probe)
        return found

    async def trial(self, rows: Sequence[Row]) -> None:
        """Write rows that nobody keeps."""
        await trial(self._db, rows)

    async def close(self) -> None:
        """Let others use the database again."""
        await self._db.close(timeout=POSTGRES_CONNECT_S_MAX)

    async def _numbered(self) -> list[tuple[Form, str, str, int]]:
        found = []
        for form in self._forms.values():
            if form.numbered is not None:
                sequence = await self._value(_SEQUENCE, form.place, form.numbered)
                highest = await self._value(_HIGHEST.format(f'"{form.numbered}"', form.place))
                found.append((form, form.numbered, str(sequence), int(highest)))
        return found

    async def _value(self, statement: str, *values: Any) -> Any:
        with _told():
            return await self._db.fetchval(statement, *values)


async def trial(db: asyncpg.Connection, rows: Sequence[Row]) -> None:
    """Write rows into a table of the session's own."""
    await db.execute("CREATE TEMP TABLE IF NOT EXISTS trial (number serial PRIMARY KEY, content bytea)")
    encoded = [msgspec.msgpack.encode(row) for row in rows]
    await db.execute("INSERT INTO trial (content) SELECT * FROM unnest($1::bytea[])", encoded)
    await db.execute("TRUNCATE trial")


async def trial_on(dsn: str, rows: Sequence[Row]) -> None:
    """Write rows that nobody keeps into a database that need have no schema."""
    db = await _connected(dsn)
    try:
        with _told():
            await trial(db, rows)
    finally:
        await db.close(timeout=POSTGRES_CONNECT_S_MAX)


async def _connected(dsn: str) -> asyncpg.Connection:
    settings = {"application_name": _APPLICATION, "statement_timeout": "0", "jit": "off"}
    with _told():
        return await asyncpg.connect(
            dsn, timeout=POSTGRES_CONNECT_S_MAX, server_settings=settings, statement_cache_size=0
        )


async def _difference(dsn: str) -> str | None:
    database = Database(dsn, role="migrate", connections=1)
    try:
        return await find_difference(database)
    finally:
        await database.close()


@contextmanager
def _told(table: str = "") -> Iterator[None]:
    """Raise errors of the server as one sentence."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        where = f" (table {table})" if table else ""
        raise OperatorError(f"PostgreSQL ended the migration{where}: {words(error)}; run the command again.") from None


def _carried(value: Any) -> Value:
    return int(value) if isinstance(value, bool) else value


def _stored(value: Value, kind: str) -> Any:
    return bool(value) if kind == "boolean" and value is not None else value


def _derived(table: Table, rows: Sequence[Row]) -> tuple[list[tuple[str, str, str]], list[list[Any]]]:
    """Return the columns of a table that are derived from others, with their types and expressions, and their values."""
    if table.name == "profiles":
        places = [table.columns.index(name) for name in ProfileKey._fields]
        digests = [ProfileKey(*(str(row[place]) for place in places)).digest() for row in rows]
        return [("digest", "bytea", "digest")], [digests]
    if table.name == "users":
        place = table.columns.index("devices")
        kinds = [
            None if row[place] is None else " ".join(kinds_of(_DEVICES.decode(_bytes(row[place])))) for row in rows
        ]
        return [("device_kinds", "text", "string_to_array(device_kinds, ' ')")], [kinds]
    if table.name == "journal.leases":
        return [("expires_ms", "bigint", "expires_ms")], [[0] * len(rows)]
    return [], []


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"expected bytes, not {type(value).__name__}")
    return value
