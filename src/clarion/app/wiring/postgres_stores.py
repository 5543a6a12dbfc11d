"""The stores of an installation in one PostgreSQL database, which processes on any number of machines share.

Imported only where `store = "postgres"`: the driver need not be installed otherwise. Every process refuses a database that it
cannot use, before it does anything else.
"""

import os
from collections.abc import Sequence
from typing import Final

from clarion.app.config.settings import Config
from clarion.app.processes.supervisor import PARENT_VARIABLE
from clarion.app.wiring.partitions import ROLE, change
from clarion.app.wiring.store_set import Stores, check_partitions
from clarion.domain.errors import OperatorError, Overloaded, StoreUnavailable
from clarion.domain.limits_postgres import POSTGRES_ANSWER_S_MAX, POSTGRES_REGROUP_S_MAX
from clarion.identity.operator_keys import OPERATOR_KEY_FILE, operator_key, valid_keys
from clarion.ops.metrics import Metrics
from clarion.ops.telemetry import ProcessTelemetry
from clarion.outbound.secrets.master_key import KEY_FILE, FileVault
from clarion.ports.clock import Clock
from clarion.ports.secrets import SealBroken, Vault
from clarion.ports.store_rows import FACT, Row, check_unmoved
from clarion.ports.telemetry import Telemetry
from clarion.runtime.clock import SystemClock
from clarion.stores.postgres.account_health import PostgresAccountHealth
from clarion.stores.postgres.control import PostgresControl
from clarion.stores.postgres.directory import PostgresDirectory
from clarion.stores.postgres.group_commit import PARTITIONS
from clarion.stores.postgres.journal import PostgresJournal, start
from clarion.stores.postgres.migrate import find_difference, upgrade
from clarion.stores.postgres.pool import Connection, Database
from clarion.stores.postgres.presence import PostgresPresence
from clarion.stores.postgres.quotas import PostgresQuotas
from clarion.stores.postgres.server_check import SETTING, Server, check_server
from clarion.stores.postgres.state import PostgresState
from clarion.stores.postgres.store_rows import MARK, PostgresRows, trial_on
from clarion.stores.postgres.tenancy import NO_TENANT

_LISTENERS: Final = 1
"""Connections of a process besides those of its pool."""
_OWNER_SETTING: Final = "postgres.owner_dsn"
_DIRECT_SETTING: Final = "postgres.direct_dsn"
_API: Final = "api"
OPERATED: Final = (_API, "all-in-one")
"""Roles that know the operator by a key."""
_RIGHTS: Final = """SELECT rolsuper OR rolbypassrls AS unbound, pg_has_role('clarion_worker', 'USAGE') AS worker,
    pg_has_role('clarion_api', 'USAGE') AS api FROM pg_roles WHERE rolname = current_user"""
_TENANTS: Final = "SELECT wanted, there FROM tenants_there()"
_PATIENCE: Final = """SELECT set_config('statement_timeout', $1, true),
    set_config('idle_in_transaction_session_timeout', $1, true)"""
_MY_TURN: Final = "SELECT pg_advisory_xact_lock(1129070933, 1)"


async def on_server(config: Config, clock: Clock, vault: Vault, telemetry: Telemetry, role: str) -> Stores:
    """Open the stores for a process. Raises `OperatorError` when the database cannot be used, has another schema than this
    build, or belongs to an installation with another master key; under a supervisor `Overloaded` when the server may
    come back by itself."""
    server = await _check(config.postgres.dsn)
    _check_room(config, server, 1)
    database = _database(config, server, role, config.postgres.pool_size)
    try:
        difference = await find_difference(database)
        if difference is not None:
            raise OperatorError(difference)
        await _check_rights(database, telemetry, role)
        await _check_unmoved(database)
        await _check_tenants(database)
        control = PostgresControl(database, vault, clock)
        await _check_key(control)
        if role in OPERATED:
            await _check_operator_key(control, config)
        started = await start(database, config.partition_count)
        check_partitions(config, started.partitions)
        journal = PostgresJournal(database, clock, started)
    except StoreUnavailable as error:
        await database.close()
        raise _unavailable(error) from None
    except BaseException:
        await database.close()
        raise
    return Stores(
        journal,
        journal,
        control,
        PostgresDirectory(database, vault, clock, control.changes),
        PostgresState(database, telemetry),
        PostgresQuotas(database),
        PostgresAccountHealth(database),
        PostgresPresence(database),
    )


async def prepare(config: Config, processes: int, *, takes_operator_key: bool = False) -> None:
    """Bring the schema up to date, the keys of a new installation into the data directory, and the journal to the number of
    partitions that is set. `processes` are those that are about to use the database; with `takes_operator_key`, the operator's
    key of this machine becomes that of the installation. Raises `OperatorError`, also when the
    database belongs to an installation whose keys this machine does not have."""
    server = await _check(config.postgres.dsn)
    _check_room(config, server, processes)
    await migrate(config)
    database = _database(config, server, "prepare", 1)
    try:
        await _check_unmoved(database)
        await _check_tenants(database)
        if await database.fetchval(NO_TENANT, "SELECT EXISTS (SELECT 1 FROM facts)"):
            require_keys(config)
        key = operator_key(config)
        vault = FileVault.load(config.data_dir, config.master_key or None)
        control = PostgresControl(database, vault, SystemClock())
        await _check_key(control)
        if not takes_operator_key:
            await _check_operator_key(control, config)
        if not await control.has_operator_key([key]):  # it was changed here
            await control.replace_operator_key(key)
        await _apply_partitions(config, server, database)
    except StoreUnavailable as error:
        raise _unavailable(error) from None
    finally:
        await database.close()


async def _apply_partitions(config: Config, server: Server, database: Database) -> None:
    """Change the number of partitions to the one set. Machines do it in turn: the second one has nothing left to do. Raises
    `OperatorError` while another process is at work. Needs the rights of a worker."""
    wanted = config.journal.partitions
    if await database.fetchval(NO_TENANT, PARTITIONS) in (None, wanted) or not wanted:
        return

    async def apply(db: Connection) -> None:
        await db.execute(_PATIENCE, f"{POSTGRES_REGROUP_S_MAX}s")
        await db.execute(_MY_TURN)
        if await db.fetchval(PARTITIONS) != wanted:
            await _change(config, server)

    turn = _database(config, server, "prepare", 1, POSTGRES_REGROUP_S_MAX)
    try:
        await turn.transact(NO_TENANT, apply)
    finally:
        await turn.close()


async def _change(config: Config, server: Server) -> None:
    clock, telemetry = SystemClock(), ProcessTelemetry(Metrics(config.run_dir / "metrics", ROLE))
    database = _database(config, server, ROLE, config.postgres.pool_size, POSTGRES_REGROUP_S_MAX)
    try:
        journal = PostgresJournal(database, clock, await start(database, config.journal.partitions))
        ledger = PostgresState(database, telemetry).ledger
        try:
            await change(journal, journal, ledger, config.journal.partitions, clock, telemetry)
        finally:
            await journal.close()
    finally:
        await database.close()


async def migrate(config: Config) -> None:
    """Bring the schema up to date. Raises `OperatorError`."""
    dsn = await _check_owner(config)
    await upgrade(dsn)


async def difference(config: Config) -> str | None:
    """Return in one sentence how the schema differs from what this build needs, None when it does not. Raises
    `OperatorError`."""
    dsn = await _check_owner(config)
    database = Database(dsn, role="migrate", connections=1)
    try:
        return await find_difference(database)
    except StoreUnavailable as error:
        raise _unavailable(error) from None
    finally:
        await database.close()


async def rows_of_source(config: Config) -> PostgresRows:
    """Open the database of an installation that is to be moved. Raises `OperatorError`."""
    return await PostgresRows.source(await _check_owner(config))


async def rows_of_target(config: Config) -> PostgresRows:
    """Open the database that an installation is to be moved into. Raises `OperatorError`."""
    return await PostgresRows.target(await _check_owner(config))


async def trial(config: Config, rows: Sequence[Row]) -> None:
    """Write rows that nobody keeps. Raises `OperatorError`."""
    await trial_on(await _check_owner(config), rows)


async def _check_unmoved(database: Database) -> None:
    """Raise `OperatorError` when an installation was moved away, or not all of it is here."""
    check_unmoved("postgres", await database.fetchval(NO_TENANT, MARK, FACT))


async def _check_tenants(database: Database) -> None:
    """Raise `OperatorError` when the database has fewer tenants than were made in it: it was restored from a part."""
    wanted, there = await database.fetchrow(NO_TENANT, _TENANTS)
    if there < wanted:
        raise OperatorError(
            f"The database has {there} of the {wanted} tenants of its installation, as after the restore of a backup that"
            " row-level security kept rows from: restore a whole one, which clarion doctor --backup tells."
        )


def require_keys(config: Config, *, operator: bool = True) -> None:
    """Raise `OperatorError` when this machine lacks a key of the installation: one made here would be another."""
    wanted = {"master_key": (config.master_key, KEY_FILE)}
    if operator:
        wanted["operator_key"] = (config.operator_key, OPERATOR_KEY_FILE)
    for setting, (given, file) in wanted.items():
        if not given and not (config.data_dir / file).exists():
            raise OperatorError(
                f"This machine does not have the {setting} of the installation in the database: set it, or copy {file} of"
                f" another machine into {config.data_dir}."
            )


async def _check(dsn: str, setting: str = SETTING) -> Server:
    try:
        return await check_server(dsn, setting)
    except StoreUnavailable as error:
        raise _unavailable(error) from None


async def _check_owner(config: Config) -> str:
    """Return the address for the owner of the schema."""
    given = config.postgres
    for setting, dsn in ((_OWNER_SETTING, given.owner_dsn), (_DIRECT_SETTING, given.direct_dsn), (SETTING, given.dsn)):
        if dsn or setting == SETTING:
            await _check(dsn, setting)
            return dsn
    raise AssertionError("unreachable")


async def _check_rights(database: Database, telemetry: Telemetry, role: str) -> None:
    """Raise `OperatorError` when the user has no rights of the role; warn of one whom the database lets see all tenants."""
    row = await database.fetchrow(NO_TENANT, _RIGHTS)
    if not row["worker"] and not (row["api"] and role == _API):
        wanted = "clarion_api" if role == _API else "clarion_worker"
        raise OperatorError(f"The user of postgres.dsn lacks rights: it is not a member of {wanted}.")
    if row["unbound"]:
        reason = "row-level security does not bind the user of postgres.dsn, who is a superuser or has BYPASSRLS"
        telemetry.log("warning", "tenants_not_kept_apart_by_database", reason=reason)


def _unavailable(error: StoreUnavailable) -> OperatorError | Overloaded:
    # A supervisor starts a process again for as long as it is the server that has to come back.
    return Overloaded(str(error)) if PARENT_VARIABLE in os.environ else OperatorError(str(error))


def _database(
    config: Config, server: Server, role: str, connections: int, answer_s: int = POSTGRES_ANSWER_S_MAX
) -> Database:
    """Return the database as a process uses it, past a pooler where it has to."""
    return Database(
        config.postgres.dsn,
        role=role,
        connections=connections,
        through_pooler=server.is_pooled,
        direct_dsn=config.postgres.direct_dsn,
        answer_s=answer_s,
    )


def _check_room(config: Config, server: Server, processes: int) -> None:
    needed = processes * (config.postgres.pool_size + _LISTENERS)
    if needed > server.connections and not server.is_pooled:
        raise OperatorError(
            f"PostgreSQL takes {server.connections} connections, and {needed} may be needed here: lower postgres.pool_size or"
            f" workers.count, or raise max_connections of the server."
        )


async def _check_key(control: PostgresControl) -> None:
    try:
        await control.check_key()
    except SealBroken:
        raise OperatorError(
            "The master key of this machine is not that of the installation in the database: set master_key, or copy"
            f" {KEY_FILE} of another machine into data_dir."
        ) from None


async def _check_operator_key(control: PostgresControl, config: Config) -> None:
    """Raise `OperatorError` when this machine has another operator's key than the installation."""
    if not await control.has_operator_key(valid_keys(config)):
        raise OperatorError(
            "The operator key of this machine is not that of the installation in the database: set operator_key, or copy"
            f" {OPERATOR_KEY_FILE} of another machine into data_dir; if you changed it on purpose, run clarion init"
            " --new-operator-key here first."
        )
