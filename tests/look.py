"""Reads of streams and stage stores for a single key, as tests need them."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from clarion.ports.journal_cells import Wait
from clarion.ports.stage_store import Cursor, IdempotencyEntry, Position
from clarion.ports.streams import StoredFrame, StreamOffset


class Look:
    """Reads of a backend that is both streams and stage store."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    async def read(self, topic: str, partition: int, after: int, limit_frames: int = 64) -> list[StoredFrame]:
        (frames,) = await self._engine.read_many([StreamOffset(topic, partition, after)], limit_frames)
        return frames

    async def head(self, topic: str, partition: int) -> int:
        return (await self._engine.heads_of([(topic, partition)]))[topic, partition]

    async def committed(self, group: str, partition: int) -> dict[str, Position]:
        return (await self._engine.positions(group, [partition]))[partition]

    async def backlog(self, group: str) -> int:
        return (await self._engine.backlog_of([group]))[group]

    async def idempotency(self, tenant: str, key: str, now_ms: int) -> IdempotencyEntry | None:
        return (await self._engine.remembered([(tenant, key)], now_ms)).get((tenant, key))

    async def cursor(self, cursor_id: bytes) -> Cursor | None:
        return (await self._engine.cursors_by_id([cursor_id])).get(cursor_id)

    async def cursors(self, partition: int | None = None, status: str | None = None) -> list[Cursor]:
        partitions = range(self._engine.partitions) if partition is None else [partition]
        return await self._engine.cursors_in(partitions, status)

    async def cells(self, partition: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found = await self._engine.cells_of([(partition, key) for key in keys])
        return {key: value for (_, key), value in found.items()}

    async def waits(self, tenant: str, key: bytes, limit: int = 1_000) -> list[Wait]:
        return (await self._engine.waits_of([(tenant, key)], limit)).get((tenant, key), [])

    async def caps(self, tenant: str, rule: bytes, blocks: Sequence[int]) -> dict[int, bytes]:
        found = await self._engine.caps_of({(tenant, rule): blocks})
        return {block: times for (_, _, block), times in found.items()}

    async def since(self, *asked: Any) -> list[StoredFrame]:
        return await self._engine.read_since(*asked)

    async def next_due_ms(self) -> int | None:
        return await self._engine.next_due()

    async def cancelled_since(self, sequence: int) -> tuple[int, list[bytes]]:
        return await self._engine.cancellations_after(sequence)

    async def cells_under(self, *asked: Any, **more: Any) -> list[tuple[bytes, bytes]]:
        return await self._engine.cells_page(*asked, **more)


class Glance:
    """The same reads outside of coroutines, for backends that return without waiting."""

    def __init__(self, engine: Any) -> None:
        self._look = Look(engine)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._look, name)
        return lambda *values, **more: at_once(method(*values, **more))


def at_once(read: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that never waits."""
    try:
        read.send(None)
    except StopIteration as done:
        return done.value
    read.close()
    raise AssertionError("it waited")
