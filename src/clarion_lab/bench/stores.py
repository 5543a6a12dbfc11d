"""What holds the stores of a measured installation: files, or a PostgreSQL server of its own."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import psutil

from clarion.domain.errors import OperatorError
from clarion_lab.load.accounting import tree
from clarion_lab.load.programs import RunError
from clarion_lab.machine.ports import free_port

SQLITE: Final = "sqlite"
POSTGRES: Final = "postgres"
ENGINES: Final = (SQLITE, POSTGRES)


class Store(NamedTuple):
    """Where an installation keeps its data: the `settings` by which it uses it, the process of the server, None without one, and
    what brings it to rest after an import, as the server does by itself within minutes."""

    settings: dict[str, str]
    server: psutil.Process | None = None
    settle: Callable[[], None] = lambda: None

    def cpu_s(self) -> float:
        """Return the CPU seconds of the server so far, 0 without one."""
        return sum(fact.cpu_s for fact in tree(self.server.pid)) if self.server else 0.0


def checked(engine: str) -> str:
    """Return an engine that can be measured. Raises `OperatorError` for another one."""
    if engine not in ENGINES:
        raise OperatorError(f"There is no engine {engine!r}; there is {' and '.join(ENGINES)}.")
    return engine


@contextlib.contextmanager
def opened(engine: str) -> Iterator[Store]:
    """Yield a new store. Raises `RunError` when its server cannot be started."""
    if engine == SQLITE:
        yield Store({})
        return
    from clarion_lab.machine.engines import postgres_folders
    from clarion_lab.servers.postgres import Server, create_database, in_thread, vacuum

    found = postgres_folders()
    if not found:
        raise RunError("no PostgreSQL server can be started here: `make engines` says what is missing")
    try:
        server = Server(found[0], durable=True, port=free_port())
    except (OSError, subprocess.SubprocessError) as error:
        raise RunError(f"the PostgreSQL server did not start: {error}") from error
    try:
        server.wait()
        settings = {"CLARION_STORE": engine, "CLARION_POSTGRES_DSN": in_thread(create_database(server))}
        yield Store(settings, psutil.Process(server.pid), lambda: in_thread(vacuum(server)))
    finally:
        server.stop()
