"""The writes of the record worker: the store of history as a ledger that advances together with its positions."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec

from clarion.domain.delivery_state import State
from clarion.domain.history import Changes, ChunkState, Delivery
from clarion.ports.stage_store import Position


class Advance(msgspec.Struct, frozen=True):
    """A partition of `outcomes` folded from one offset to another by the holder of a fence. `numbers` are the highest
    sequences folded of each producer, by which repeated frames are recognized; empty where nothing repeats."""

    partition: int
    from_offset: int
    offset: int
    fence: int
    numbers: Mapping[str, int] = {}


class Ledger(Protocol):
    """Written by record workers only, one thread at a time each; every partition by the holder of its lease."""

    async def positions(self) -> dict[int, Position]:
        """Return the folded position of each partition that was ever folded."""
        ...

    async def load(
        self, delivery_ids: Collection[bytes], chunk_ids: Collection[bytes]
    ) -> tuple[dict[bytes, Delivery], dict[bytes, ChunkState]]:
        """Return the current rows of those deliveries, of those chunks and of the chunks of the deliveries."""
        ...

    async def apply(self, changes: Changes, advances: Sequence[Advance]) -> None:
        """Store changes and positions in one durable transaction. Raises `StaleLease` when a position is not where the
        fold began or a newer fence wrote it, `AlreadyStored` when a delivery or chunk of `changes.new` has a row,
        `DurabilityError` when the commit failed; then nothing is stored."""
        ...

    async def prune_captures(self, before_ms: int, keep_per_tenant: int) -> int:
        """Delete captured messages older than a time or beyond a number per tenant; return how many were deleted."""
        ...


class DeliveryStates(Protocol):
    """The reads of the deliver stage before it repeats an attempt."""

    async def states(self, delivery_ids: Iterable[bytes]) -> dict[bytes, tuple[State, int]]:
        """Return state and newest attempt of the deliveries that have a row of their own."""
        ...

    async def chunk_states(self, chunk_id: bytes) -> bytes | None:
        """Return the state bytes of a chunk, None when it is not folded yet."""
        ...
