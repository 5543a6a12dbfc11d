"""Batched reads in which a key that cannot be read fails alone."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from clarion.domain.errors import StoreUnavailable

K = TypeVar("K")
V = TypeVar("V")


async def read_each(
    read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]], keys: Sequence[K]
) -> tuple[Mapping[K, V], dict[K, Exception]]:
    """Return the values of keys, and the error for each key that cannot be read. Raises `StoreUnavailable`."""
    try:
        return await read(keys), {}
    except StoreUnavailable:
        raise  # unrelated to the keys
    except Exception as error:  # noqa: BLE001 - an error of one key must not stop the other keys for good
        if len(keys) == 1:
            return {}, {keys[0]: error}
    found: dict[K, V] = {}
    failed: dict[K, Exception] = {}
    for key in keys:
        one, refused = await read_each(read, (key,))
        found.update(one)
        failed.update(refused)
    return found, failed
