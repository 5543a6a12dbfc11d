"""What the suites of versioned stores share."""

from clarion.ports.versioned import settle


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
