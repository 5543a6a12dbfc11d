"""What a process finds out about the server before it uses it: each reason against it is one sentence without the password.

A reason that the server may mend by itself is `StoreUnavailable`, any other is `OperatorError`.
"""

import asyncio
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg

from clarion.domain.errors import ClarionError, OperatorError, StoreUnavailable
from clarion.domain.limits_postgres import POSTGRES_CONNECT_S_MAX
from clarion.stores.postgres.errors import LOST, words

VERSION_MIN: Final = 150_000
"""The oldest server that is supported, as `server_version_num` counts."""
PARAMETERS: Final = frozenset(
    {
        "host", "port", "user", "password", "dbname", "database", "passfile", "service", "sslmode", "sslcert", "sslkey",
        "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version",
        "target_session_attrs", "krbsrvname", "gsslib",
    }
)  # fmt: skip
"""What an address may hold. The driver would send anything else to the server as a setting of the session."""
SETTING: Final = "postgres.dsn"
_FACTS: Final = """SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS standby,
    current_setting('default_transaction_read_only')::bool AS read_only,
    pg_backend_pid() AS pid, current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS connections"""


class Server(NamedTuple):
    """A server that can be used: its version as `server_version_num` counts, the connections that it takes, and whether a
    pooler stands before it."""

    version: int
    connections: int
    is_pooled: bool = False


def check_address(dsn: str, setting: str = SETTING) -> None:
    """Raise `OperatorError` for an address that is none, or has a parameter that nobody knows."""
    if not dsn:
        raise OperatorError(f'store = "postgres" needs the address of a database: set {setting}.')
    try:
        address = urlsplit(dsn)
        given = parse_qsl(address.query, strict_parsing=bool(address.query))
    except ValueError:
        raise OperatorError(f"Setting {setting}: is no address of a database.") from None
    if address.scheme not in ("postgresql", "postgres"):
        raise OperatorError(f"Setting {setting}: has to begin with postgresql://.")
    for name, _ in given:
        if name not in PARAMETERS:
            raise OperatorError(
                f"Setting {setting}: there is no parameter {name!r} (there is {', '.join(sorted(PARAMETERS))})."
            )


async def check_server(dsn: str, setting: str = SETTING) -> Server:
    """Return what the server says of itself; `setting` is what holds the address. Raises `OperatorError` and
    `StoreUnavailable`."""
    check_address(dsn, setting)
    try:
        connection = await asyncpg.connect(
            dsn,
            timeout=POSTGRES_CONNECT_S_MAX,
            statement_cache_size=0,
            server_settings={"application_name": "clarion-check"},
        )
        try:
            row = await connection.fetchrow(_FACTS)
            # A pooler shows its clients a number of its own.
            is_pooled = row["pid"] != connection.get_server_pid()
        finally:
            connection.terminate()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, ValueError) as error:
        raise refusal(error, dsn, setting) from None
    except asyncio.IncompleteReadError as error:
        raise refusal(error, dsn, setting) from None
    _check(row)
    return Server(row["version"], row["connections"], is_pooled)


def refusal(error: BaseException, dsn: str, setting: str = SETTING) -> ClarionError:
    """Return the error of a process that cannot use the server."""
    text = words(error) if isinstance(error, Exception) else str(error)
    if (password := _password(dsn)) and password in text:
        text = type(error).__name__
    for kinds, sentence in _PERMANENT:
        if isinstance(error, kinds):
            return OperatorError(f"{sentence.format(setting)}: {text}.")
    for kinds, sentence in _PASSING:
        if isinstance(error, kinds):
            return StoreUnavailable(f"{sentence.format(setting)}: {text}.")
    return OperatorError(f"PostgreSQL cannot be used: {text}.")


def _check(row: Any) -> None:
    if row["version"] < VERSION_MIN:
        raise OperatorError(f"PostgreSQL {row['version'] // 10_000} is too old; Clarion needs 15 or newer.")
    if row["standby"]:
        raise StoreUnavailable("PostgreSQL is a standby that takes no writes; give the address of the primary.")
    if row["read_only"]:
        raise StoreUnavailable("PostgreSQL takes no writes (default_transaction_read_only is on).")


def _password(dsn: str) -> str:
    try:
        return unquote(urlsplit(dsn).netloc.rpartition("@")[0].partition(":")[2])
    except ValueError:
        return ""


_Kinds = tuple[type[BaseException], ...]
_PERMANENT: Final[tuple[tuple[_Kinds, str], ...]] = (
    ((asyncpg.InvalidAuthorizationSpecificationError,), "PostgreSQL refuses the user of {}"),
    ((asyncpg.InvalidCatalogNameError,), "PostgreSQL has no database of the name in {}; create it"),
    ((asyncpg.InsufficientPrivilegeError,), "The user of {} lacks rights"),
    ((asyncpg.ClientConfigurationError, ValueError), "Setting {}: cannot be understood"),
)
_PASSING: Final[tuple[tuple[_Kinds, str], ...]] = (
    (
        (asyncpg.TooManyConnectionsError,),
        "PostgreSQL has no connection left; raise max_connections or lower postgres.pool_size",
    ),
    ((asyncpg.CannotConnectNowError,), "PostgreSQL does not take connections now"),
    (
        (asyncpg.TargetServerAttributeNotMatched,),
        "PostgreSQL takes no writes on any host of {} (target_session_attrs)",
    ),
    (LOST, "PostgreSQL cannot be reached"),
)
