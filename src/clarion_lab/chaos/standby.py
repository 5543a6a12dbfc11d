"""A PostgreSQL pair whose primary dies: its synchronous standby takes over, again and again."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg

from clarion_lab.chaos.postgres import NAME, PostgresEngine
from clarion_lab.machine.ports import free_port
from clarion_lab.servers.postgres import APPLICATION, HOST, SUPERUSER, Server, in_thread

PRIMARY: Final = "primary"
STANDBY_TIMEOUT_S: Final = 60.0
_REPLICATED: Final = {"wal_level": "replica", "max_wal_senders": "4", "hot_standby": "on"}
_IN_STEP: Final = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'"


class FailoverEngine(PostgresEngine):
    """A primary with a synchronous standby. Once the standby has taken over, a new one is made at the address of the dead
    primary, so that both addresses stay those of the installation."""

    victims: Mapping[str, int] = {PRIMARY: 1}

    def __init__(self) -> None:
        super().__init__(**_REPLICATED)
        self.standby = self._made(free_port())
        ports = self.server.port, self.standby.port
        hosts = ",".join(f"{HOST}:{port}" for port in ports)
        dsn = f"postgresql://{APPLICATION}@{hosts}/{NAME}?target_session_attrs=primary"
        self.environment = {**self.environment, "CLARION_POSTGRES_DSN": dsn}
        self.figures.clear()
        self.figures.update(failovers=0, promotion_ms=0)

    def strike(self, victim: str, pick: float) -> bool:
        """Kill the primary while something is written, and let the standby take over. Return whether something was."""
        was_writing = self._await_any_write()
        dead, self.server = self.server, self.standby
        dead.kill()
        began_s = time.monotonic()
        in_thread(_promote(self.server))
        self.figures["promotion_ms"] = max(self.figures["promotion_ms"], round((time.monotonic() - began_s) * 1000))
        self.figures["failovers"] += 1
        dead.stop()
        self.standby = self._made(dead.port)
        return was_writing

    def stop(self, keep: Path | None) -> None:
        """End both servers. The files of the primary go to the folder to keep, or are deleted without one."""
        self.standby.stop()
        super().stop(keep)

    def _made(self, port: int) -> Server:
        """Return a new standby of the server, whose commits wait for it from now on."""
        standby = Server(self.server.folder, self.server, durable=True, port=port, **_REPLICATED)
        standby.wait()
        in_thread(_require_standby(self.server))
        return standby


async def _promote(server: Server) -> None:
    admin = await asyncpg.connect(server.dsn(NAME, SUPERUSER))
    try:
        await admin.execute("SELECT pg_promote(wait => true)")
    finally:
        await admin.close()


async def _require_standby(server: Server) -> None:
    """Let commits wait for a standby, once one is in step. Raises `TimeoutError` when none is in time."""
    admin = await asyncpg.connect(server.dsn(NAME, SUPERUSER))
    try:
        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await admin.execute("SELECT pg_reload_conf()")
        deadline = time.monotonic() + STANDBY_TIMEOUT_S
        while not await admin.fetchval(_IN_STEP):
            if time.monotonic() > deadline:
                raise TimeoutError("the standby is not in step")
            await admin.fetch("SELECT pg_sleep(0.05)")
    finally:
        await admin.close()
