"""A PgBouncer in transaction mode before the server of the tests, with fewer connections than its clients have."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from clarion_lab.machine.engines import is_required, pgbouncer
from clarion_lab.machine.ports import free_port
from clarion_lab.servers.postgres import APPLICATION, OWNER, SUPERUSER
from tests.engines.postgres import API, WORKER, Server

SERVER_CONNECTIONS = 3
_SETTINGS = """[databases]
* = host={server} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {size}
logfile = {log}
"""


class PgBouncer:
    """A running pooler. It ends with `stop`."""

    def __init__(self, server: Server) -> None:
        found = pgbouncer()
        if found is None:
            self._missing()
        user = pwd.getpwuid(psutil.Process(server.pid).uids().real)
        self._home = Path(tempfile.mkdtemp(prefix="pgb-"))
        self.port = free_port()
        users, settings = self._home / "users", self._home / "pgbouncer.ini"
        users.write_text("".join(f'"{one}" ""\n' for one in (APPLICATION, API, WORKER, OWNER, SUPERUSER)))
        settings.write_text(
            _SETTINGS.format(
                server=server.home, server_port=server.port, port=self.port, users=users, size=SERVER_CONNECTIONS,
                log=self._home / "log",
            )
        )  # fmt: skip
        for path in (self._home, users, settings):
            os.chown(path, user.pw_uid, user.pw_gid)
        as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        command = [*(as_user if os.geteuid() == 0 else []), found, "-q", str(settings)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while not any(one.laddr.port == self.port for one in psutil.Process(self._process.pid).net_connections("tcp")):
            if time.monotonic() > until:
                raise RuntimeError(f"PgBouncer does not listen: {(self._home / 'log').read_text()}")
            time.sleep(0.02)

    @staticmethod
    def _missing() -> NoReturn:
        sentence = "there is no PgBouncer here (Debian: apt install pgbouncer)"
        if is_required():
            pytest.fail(sentence)
        pytest.skip(sentence)

    def dsn(self, direct: str) -> str:
        """Return the address through the pooler of a database that has this direct address."""
        role, _, rest = direct.removeprefix("postgresql://").partition("@/")
        return f"postgresql://{role}@127.0.0.1:{self.port}/{rest.partition('?')[0]}"

    def stop(self) -> None:
        """End it and delete its files."""
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self._home, ignore_errors=True)
