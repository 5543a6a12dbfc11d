"""What holds the stores of a measured installation: files, or a PostgreSQL server of its own."""

import contextlib
import subprocess
from collections.abc import Iterator
from typing import Final

import psutil

from clarion_lab.load.programs import RunError, free_port

SQLITE: Final = "sqlite"
POSTGRES: Final = "postgres"
ENGINES: Final = (SQLITE, POSTGRES)


@contextlib.contextmanager
def store(engine: str) -> Iterator[tuple[psutil.Process | None, dict[str, str]]]:
    """Yield the process of the server, None without one, and the settings by which an installation uses it. Raises
    `RunError` when the server cannot be started."""
    if engine == SQLITE:
        yield None, {}
        return
    from clarion_lab.servers.postgres import Server, binaries, create_database, in_thread

    found = binaries()
    if not found:
        raise RunError("no PostgreSQL server can be started here: `make engines` says what is missing")
    try:
        server = Server(found[0], durable=True, port=free_port())
    except (OSError, subprocess.SubprocessError) as error:
        raise RunError(f"the PostgreSQL server did not start: {error}") from error
    try:
        server.wait()
        dsn = in_thread(create_database(server))
        yield psutil.Process(server.pid), {"CLARION_STORE": engine, "CLARION_POSTGRES_DSN": dsn}
    finally:
        server.stop()
