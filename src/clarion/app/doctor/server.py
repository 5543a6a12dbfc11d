"""Checks of the PostgreSQL server: address, version, schema, rights, keys, connections and clock."""

import time
from collections.abc import AsyncIterator
from typing import Any, Final

from clarion.app.config.settings import Config
from clarion.app.doctor.findings import CheckResult
from clarion.app.doctor.machine import PROBE, SENTENCE_SAYS, clock_finding, key_finding
from clarion.outbound.secrets.master_key import KEY_FILE
from clarion.ports.store_rows import FACT, decode_mark, refusal
from clarion.stores.postgres.migrate import find_difference
from clarion.stores.postgres.pool import Database
from clarion.stores.postgres.server_check import Server, check_server
from clarion.stores.postgres.tenancy import NO_TENANT

_LISTENERS: Final = 1
"""Connections of a process besides those of its pool."""
_SESSIONS: Final = """SELECT count(*) FILTER (WHERE backend_type = 'client backend' AND application_name NOT LIKE 'clarion-%'),
    current_setting('server_version') FROM pg_stat_activity"""
_RIGHTS: Final = """SELECT rolsuper OR rolbypassrls AS is_unbound, pg_has_role('clarion_worker', 'USAGE') AS is_worker,
    pg_has_role('clarion_api', 'USAGE') AS is_api FROM pg_roles WHERE rolname = current_user"""
_KEPT: Final = "SELECT value FROM facts WHERE name = $1"
_NOW: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_PAGE: Final = "docs/howto/postgres.md"


async def server(config: Config, processes: int) -> AsyncIterator[CheckResult]:
    """Check that processes can use the database. `processes` are those of this machine."""
    found = await check_server(config.postgres.dsn)
    database = Database(config.postgres.dsn, role="check", connections=1, through_pooler=found.is_pooled)
    try:
        others, version = await database.fetchrow(NO_TENANT, _SESSIONS)
        yield CheckResult(f"PostgreSQL {version} answers.")
        yield _room(config, found, others, processes)
        if difference := await find_difference(database):
            yield CheckResult(difference, SENTENCE_SAYS)
            return
        yield CheckResult("The schema of the database is that of this build.")
        yield _rights(await database.fetchrow(NO_TENANT, _RIGHTS))
        if sentence := refusal("postgres", decode_mark(await database.fetchval(NO_TENANT, _KEPT, FACT))):
            yield CheckResult(sentence, SENTENCE_SAYS)
        sealed = await database.fetchval(NO_TENANT, _KEPT, PROBE)
        if sealed is not None:
            yield _key(config, sealed)
        asked_ms = time.time_ns() // 1_000_000
        now_ms = int(await database.fetchval(NO_TENANT, _NOW))
        yield clock_finding(now_ms - (asked_ms + time.time_ns() // 1_000_000) // 2, "the server's")
    finally:
        await database.close()


def _room(config: Config, found: Server, others: int, processes: int) -> CheckResult:
    """Return whether all connections of this machine fit beside those of other programs."""
    needed = processes * (config.postgres.pool_size + _LISTENERS)
    room = found.connections - others
    if found.is_pooled:
        return CheckResult(
            f"A pooler stands before the server; {processes} processes may open {needed} connections to it."
        )
    if needed > room:
        return CheckResult(
            f"{processes} processes may open {needed} connections; the server takes {found.connections}, and other programs"
            f" have {others} of them.",
            "Lower postgres.pool_size or workers.count, or raise max_connections of the server.",
        )
    return CheckResult(f"{processes} processes may open {needed} connections; the server has room for {room}.")


def _rights(row: Any) -> CheckResult:
    """Return whether the user of the processes has the rights of a role, and no more."""
    if not row["is_worker"] and not row["is_api"]:
        return CheckResult(
            "The user of postgres.dsn is a member of neither clarion_api nor clarion_worker.",
            f"Make it a member of one of them, or of both ({_PAGE}).",
        )
    if row["is_unbound"]:
        return CheckResult(
            "Row-level security does not bind the user of postgres.dsn, who is a superuser or has BYPASSRLS.",
            f"Let processes log in as another user ({_PAGE}).",
        )
    groups = [name for name, is_in in (("clarion_api", row["is_api"]), ("clarion_worker", row["is_worker"])) if is_in]
    return CheckResult(f"The user of postgres.dsn is a member of {' and '.join(groups)}.")


def _key(config: Config, sealed: bytes) -> CheckResult:
    if config.master_key or (config.data_dir / KEY_FILE).exists():
        return key_finding(config, sealed)
    return CheckResult(
        "This machine does not have the master key of the installation.",
        f"Set master_key, or copy {KEY_FILE} of another machine into {config.data_dir}.",
    )
