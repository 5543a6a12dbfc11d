"""Helpers of the suites of versioned stores."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

from clarion.runtime.shared_counts import settle
from clarion.stores.postgres.presence import PostgresPresence
from clarion.stores.postgres.versions import PostgresVersions

ROOT = Path(__file__).parents[2]


class Clockwork:
    """A clock without randomness."""

    def __init__(self, jitter=0.0):
        self._jitter = jitter

    def now_ms(self):
        return 0

    def monotonic_ms(self):
        return 0

    def entropy(self, size):
        return bytes(size)

    def jitter(self):
        return self._jitter


async def read(store, *names):
    """Return the values without their versions."""
    return [one.value for one in await store.read(names)]


async def take(store, name, value):
    """Set the value of a name, regardless of its present one."""
    await settle(store, [name], lambda _: ([value], None), Clockwork())


async def stored(store, name, value):
    """Set the value of a name, and return its new version."""
    ((_, version),), _ = await settle(store, [name], lambda _: ([value], None), Clockwork())
    return version


def count_in_processes(counting, backend, folder, number, names):
    """Run a process per name that counts to a number by the script `counting`: all count one shared name, and each its
    own. Return their exit codes."""
    running = [
        subprocess.Popen([sys.executable, "-c", counting, str(folder), str(number), name, backend], cwd=ROOT)
        for name in names
    ]
    return [process.wait(timeout=60) for process in running]


@asynccontextmanager
async def opening(open_one: Callable):
    """Yield a function that opens a store again, as another process does; all are closed at the end."""
    opened = []

    def once_more():
        opened.append(open_one())
        return opened[-1]

    yield once_more
    for one in opened:
        one.close()
        if isinstance(one, (PostgresVersions, PostgresPresence)):
            await one.database.close()
