"""A PostgreSQL server that dies and loses its connections while the product works on it."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from clarion.stores.postgres.errors import LOST
from clarion_lab.chaos.engine import WRITE_S
from clarion_lab.chaos.rows import Stores, of_server
from clarion_lab.load.programs import RunError
from clarion_lab.machine.engines import postgres_folders
from clarion_lab.machine.ports import free_port
from clarion_lab.servers.postgres import SUPERUSER, Server, create_database, in_thread

DATABASE: Final = "database"
CONNECTIONS: Final = "connections"
DOWN_S_MAX: Final = 1.0
"""The longest time for which a killed server stays down."""
BUSY_S: Final = 2.0
"""Seconds to wait for a write under way before connections are cut; there may be no work."""
_SAMPLE_S: Final = 0.002
_AGAIN_S: Final = 0.05
NAME: Final = "clarion"
"""The database."""
_ACTIVITY: Final = """SELECT client_port, backend_xid IS NOT NULL FROM pg_stat_activity
    WHERE application_name LIKE 'clarion-%' AND client_port > 0"""
_CUT: Final = """SELECT backend_xid IS NOT NULL AS writing, pg_terminate_backend(pid) AS cut FROM pg_stat_activity
    WHERE application_name LIKE 'clarion-%'"""


class PostgresEngine:
    """A server of its own for one run. It follows which connections write, as `pg_stat_activity` shows a transaction's id
    from its first write to its end."""

    victims: Mapping[str, int] = {DATABASE: 2, CONNECTIONS: 2}

    def __init__(self, **settings: str) -> None:
        found = postgres_folders()
        if not found:
            raise RunError("no PostgreSQL server can be started here: `make engines` says what is missing")
        self.server = Server(found[0], None, durable=True, port=free_port(), **settings)
        self.server.wait()
        dsn = in_thread(create_database(self.server, NAME))
        self.environment: Mapping[str, str] = {"CLARION_STORE": "postgres", "CLARION_POSTGRES_DSN": dsn}
        self.figures: Counter[str] = Counter({"restarts": 0, "cuts": 0, "connections_cut": 0, "writes_cut": 0})
        self._writing: set[int] = set()
        self._wrote: set[int] = set()
        self._following = asyncio.run_coroutine_threadsafe(self._follow(), in_thread(_running_loop()))

    def has_written(self, process: psutil.Process) -> bool:
        """Return whether one of the connections of a process has written since it was opened. Raises what ended the
        sampling."""
        if self._following.done():
            self._following.result()
        return not self._wrote.isdisjoint(_ports(process))

    def await_write(self, process: psutil.Process) -> None:
        """Return as soon as a transaction of a process is seen to have written, or after `WRITE_S`."""
        ports, until = _ports(process), time.monotonic() + WRITE_S
        while self._writing.isdisjoint(ports) and time.monotonic() < until:
            time.sleep(_SAMPLE_S)

    def strike(self, victim: str, pick: float) -> bool:
        """Kill the server and start it again, or cut all connections at once. Return whether something was written at that
        moment, or by a connection that is open."""
        return self._restart(pick) if victim == DATABASE else self._cut()

    def stores(self, data: Path) -> Stores:
        """Return the stores in the database."""
        psql, dsn = self.server.folder / "psql", self.server.dsn(NAME, SUPERUSER)
        return Stores(of_server(psql, dsn, "public"), of_server(psql, dsn, "journal"))

    def stop(self, keep: Path | None) -> None:
        """End the server. Its files go to the folder to keep, or are deleted without one."""
        self._following.cancel()
        self.server.stop(keep)

    def _restart(self, pick: float) -> bool:
        at_work = bool(self._wrote)
        self.server.kill()
        self._wrote = set()
        time.sleep(pick * DOWN_S_MAX)
        self.server.start()
        self.server.wait()
        self.figures["restarts"] += 1
        return at_work

    def _await_any_write(self) -> bool:
        """Return as soon as something is written, or after `BUSY_S`; whether something is."""
        until = time.monotonic() + BUSY_S
        while not self._writing and time.monotonic() < until:
            time.sleep(_SAMPLE_S)
        return bool(self._writing)

    def _cut(self) -> bool:
        self._await_any_write()
        rows = in_thread(self._fetch(_CUT))
        writing = sum(row["writing"] for row in rows)
        self.figures.update(cuts=1, connections_cut=sum(row["cut"] for row in rows), writes_cut=writing)
        return bool(writing) or bool(self._wrote)

    async def _fetch(self, statement: str) -> list[asyncpg.Record]:
        admin = await asyncpg.connect(self.server.dsn(NAME, SUPERUSER))
        try:
            return list(await admin.fetch(statement))
        finally:
            await admin.close()

    async def _follow(self) -> None:
        """Sample the connections until cancelled, through every restart of the server."""
        while True:
            with contextlib.suppress(*LOST, asyncpg.PostgresError):
                admin = await asyncpg.connect(self.server.dsn(NAME, SUPERUSER))
                try:
                    while True:
                        rows = await admin.fetch(_ACTIVITY)
                        self._writing = {port for port, writing in rows if writing}
                        self._wrote = (self._wrote & {port for port, _ in rows}) | self._writing
                        await asyncio.sleep(_SAMPLE_S)
                finally:
                    admin.terminate()
            self._writing = set()
            await asyncio.sleep(_AGAIN_S)


async def _running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _ports(process: psutil.Process) -> set[int]:
    """Return the local TCP ports of a process."""
    return {one.laddr.port for one in process.net_connections("tcp")}
