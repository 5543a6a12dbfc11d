"""A PostgreSQL server of its own, in a temporary folder, reached over a Unix socket or on loopback.

It ends with the process that started it. As in production, an owner that is no superuser migrates, and processes log in as a
member of `clarion_api` and `clarion_worker` that owns nothing.
"""

import asyncio
import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
import psutil

from clarion.stores.postgres.migrate import upgrade
from clarion_lab.machine.scratch import in_memory

T = TypeVar("T")

SUPERUSER: Final = "clarion"
OWNER: Final = "clarion_owner"
APPLICATION: Final = "clarion_app"
HOST: Final = "127.0.0.1"
_DATABASE: Final = "clarion"
_COMMON: Final = {"max_connections": "200", "log_min_messages": "fatal"}
_FAST: Final = _COMMON | {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "16MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
"""A server that a test fills and throws away."""
_DURABLE: Final = _COMMON | {"listen_addresses": HOST, "shared_buffers": "256MB", "max_wal_size": "2GB"}
"""A server as it comes, with the memory of a small one: what it acknowledges survives a power cut."""


def version(folder: Path) -> str:
    """Return the version of the server in a folder of binaries."""
    printed = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return printed.stdout.strip()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="servers", daemon=True).start()
    return loop


def in_thread(work: Coroutine[Any, Any, T], timeout_s: float = 120) -> T:
    """Return the result of a coroutine that runs in a thread: the caller may have an event loop that is running."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result(timeout_s)


class Server:
    """A running server of the binaries in `folder`, new or the standby of a `primary`. A `durable` one has checksums, keeps
    its files on the disk and listens on loopback, too; another one is fast. It ends with the process that started it."""

    def __init__(
        self, folder: Path, primary: "Server | None" = None, *, durable: bool = False, port: int = 5432, **settings: str
    ) -> None:
        self.folder = folder
        self.port = port
        self.home = Path(tempfile.mkdtemp(prefix="pg-", dir=None if durable else in_memory()))
        self._data = self.home / "data"
        self._as_user: list[str] = []
        if os.geteuid() == 0:  # initdb refuses root
            user = _user()
            os.chown(self.home, user.pw_uid, user.pw_gid)
            self._as_user = [
                "setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig=INT",
            ]  # fmt: skip
        try:
            if primary is None:
                more = ["--data-checksums"] if durable else ["--no-sync"]
                self._run(folder / "initdb", "-D", self._data, "-U", SUPERUSER, *more, "-E", "UTF8", "--locale=C")
            else:
                copy = "-R", "-h", primary.home, "-p", primary.port, "-U", SUPERUSER, "--no-sync", "-c", "fast"
                self._run(folder / "pg_basebackup", "-D", self._data, *copy)
            options = [f"-c{name}={value}" for name, value in ((_DURABLE if durable else _FAST) | settings).items()]
            place = "-D", self._data, "-k", self.home, "-p", port
            self._command = [*self._as_user, *map(str, (folder / "postgres", *place)), *options]
            self.start()
        except BaseException:
            shutil.rmtree(self.home, ignore_errors=True)
            raise
        atexit.register(self.stop)

    @property
    def pid(self) -> int:
        """Return the process whose children serve the connections."""
        return self._process.pid

    def dsn(self, database: str, role: str = APPLICATION) -> str:
        """Return the address of a database for a role, over the Unix socket."""
        return f"postgresql://{role}@/{database}?host={self.home}&port={self.port}"

    def tcp_dsn(self, database: str, role: str = APPLICATION) -> str:
        """Return the address of a database for a role on loopback, where a `durable` server listens."""
        return f"postgresql://{role}@{HOST}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server, again after `kill`. It takes connections a moment later."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603

    def kill(self) -> None:
        """Kill the server without a warning, as a power cut of its machine would."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        psutil.wait_procs(children, 20)  # a server does not start while they have its memory

    def wait(self) -> None:
        """Return when the server takes connections. Raises `RuntimeError` when it does not in time."""
        in_thread(self._answers())

    async def _answers(self) -> None:
        for _ in range(600):
            try:
                connection = await asyncpg.connect(self.dsn("postgres", SUPERUSER), statement_cache_size=0)
            except (OSError, asyncpg.CannotConnectNowError):
                if not self.is_running():
                    break
                await asyncio.sleep(0.05)
            else:
                await connection.close()
                return
        raise RuntimeError("the PostgreSQL server does not answer")

    def is_running(self) -> bool:
        """Return whether the server process runs."""
        return self._process.poll() is None

    def stop(self, keep: Path | None = None) -> None:
        """End the server at once. Its files go to the folder to keep, or are deleted without one."""
        if self.is_running():
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
        if keep is not None and self._data.exists():
            shutil.move(self._data, keep / "postgres")
        shutil.rmtree(self.home, ignore_errors=True)

    def _run(self, *command: object) -> None:
        subprocess.run([*self._as_user, *map(str, command)], check=True, capture_output=True, cwd="/")  # noqa: S603


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


async def create_database(server: Server, name: str = _DATABASE) -> str:
    """Create a database with the schema, its owner and the user of processes. Return the address for that user on
    loopback."""
    admin = await asyncpg.connect(server.dsn("postgres", SUPERUSER), statement_cache_size=0)
    try:
        await admin.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE")
        await admin.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
        await upgrade(server.dsn(name, OWNER))
        await admin.execute(f"CREATE ROLE {APPLICATION} LOGIN IN ROLE clarion_api, clarion_worker")
    finally:
        await admin.close()
    return server.tcp_dsn(name)


async def vacuum(server: Server, name: str = _DATABASE) -> None:
    """Do at once what autovacuum and the checkpointer do after a while: dead rows, visible pages, statistics, dirty pages."""
    admin = await asyncpg.connect(server.dsn(name, SUPERUSER), statement_cache_size=0)
    try:
        await admin.execute("VACUUM (ANALYZE)")
        await admin.execute("CHECKPOINT")
    finally:
        await admin.close()
