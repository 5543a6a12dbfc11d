"""What the suites of versioned stores share."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from clarion.ports.versioned import settle

ROOT = Path(__file__).parents[2]


class Clockwork:
    """A clock with no chance in it."""

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
    """The values alone."""
    return [one.value for one in await store.read(names)]


async def take(store, name, value):
    """Have a name take a value, whatever it has now."""
    await settle(store, [name], lambda _: ([value], None), Clockwork())


async def stored(store, name, value):
    """The same, and its version then."""
    ((_, version),), _ = await settle(store, [name], lambda _: ([value], None), Clockwork())
    return version


def count_in_processes(counting, engine, folder, number, names):
    """How processes ended that count to a number by the script `counting`, all with one name and each with another."""
    running = [
        subprocess.Popen([sys.executable, "-c", counting, str(folder), str(number), name, engine], cwd=ROOT)
        for name in names
    ]
    return [process.wait(timeout=60) for process in running]


@contextmanager
def opening(open_one: Callable):
    """Yield what opens a store once more, as another process does; all are closed in the end."""
    opened = []

    def once_more():
        opened.append(open_one())
        return opened[-1]

    yield once_more
    for one in opened:
        one.close()
