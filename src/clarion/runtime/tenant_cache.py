"""The cache of what a process knows of tenants.

One rule says what is stale: all that is held of a tenant is, once its revision is another one than before the first of it was
read. While the directory cannot know whether it is, nothing held is used: everything is read.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

H = TypeVar("H")


class Revised(Protocol):
    """Knows the revisions of tenants, as `ports.directory.Directory` does."""

    def revision(self, tenant: str) -> int:
        """Return a number that changes whenever a definition of the tenant changed."""
        ...

    def is_current(self) -> bool:
        """Return whether `revision` knows of changes by other processes."""
        ...


class TenantCache(Generic[H]):
    """Something for each tenant, made by `new`, into which its callers put what they read: `of`, then read, then put and
    `keep`. When there is more than `most`, all is dropped; what a caller holds by then is still its own."""

    def __init__(self, directory: Revised, most: int, new: Callable[[], H]) -> None:
        self._directory = directory
        self._most = most
        self._new = new
        self._tenants: dict[str, _Held[H]] = {}
        self._count = 0

    def of(self, tenant: str) -> H:
        """Return what is held of a tenant, empty when it was stale. What is read after this call may be put into it."""
        revision = self._directory.revision(tenant)
        held = self._tenants.get(tenant)
        if held is None or held.revision != revision:
            self.drop(tenant)
            if self._count >= self._most:
                self._clear()
            held = self._tenants[tenant] = _Held(revision, self._new())
            self._count += 1
        held.doubtful = None if self._directory.is_current() else self._new()
        return held.last()

    def last(self, tenant: str) -> H | None:
        """Return what `of` returned last for a tenant, even if it is stale by now; None when it was dropped."""
        held = self._tenants.get(tenant)
        return None if held is None else held.last()

    def keep(self, tenant: str, values: H, size: int) -> None:
        """Count what was put: `values`, as `of` returned it, now holds so much."""
        held = self._tenants.get(tenant)
        if held is None or held.values is not values:
            return  # stale by now, or doubtful
        self._count += size - held.size
        held.size = size
        if self._count > self._most:
            self._clear()

    def drop(self, tenant: str) -> None:
        """Drop what is held of a tenant."""
        held = self._tenants.pop(tenant, None)
        if held is not None:
            self._count -= 1 + held.size

    def _clear(self) -> None:
        self._tenants.clear()
        self._count = 0


class _Held(Generic[H]):
    __slots__ = ("doubtful", "revision", "size", "values")

    def __init__(self, revision: int, values: H) -> None:
        self.revision = revision
        self.values = values
        self.doubtful: H | None = None
        """What was read last while nobody knew whether `values` are stale."""
        self.size = 0

    def last(self) -> H:
        return self.values if self.doubtful is None else self.doubtful
