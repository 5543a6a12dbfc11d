"""Reading many things together so that one which cannot be read costs only itself."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from clarion.domain.errors import StoreUnavailable

K = TypeVar("K")
V = TypeVar("V")


async def read_each(
    read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], keys: Sequence[K]
) -> tuple[Mapping[K, V], dict[K, Exception]]:
    """Return what was read of some keys and, for each that cannot be read, why. Raises `StoreUnavailable`."""
    try:
        return await read(keys), {}
    except StoreUnavailable:
        raise  # says nothing about the keys
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the others for good
        if len(keys) == 1:
            return {}, {keys[0]: error}
    found: dict[K, V] = {}
    failed: dict[K, Exception] = {}
    for key in keys:
        one, refused = await read_each(read, (key,))
        found.update(one)
        failed.update(refused)
    return found, failed
