"""How long a migration will take: some rows of each table are read, and written where nobody keeps them."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from clarion.ports.store_rows import Row, StoreRows

READS: Final = 3
"""How often a row is read: to copy it, and on both sides to compare."""
WRITES: Final = 2
"""What writing a row into its table costs, by that of writing it into one without other columns and indexes."""


class Estimate(NamedTuple):
    """The number of rows of the source, and the seconds that their migration will take."""

    rows: int
    seconds: float


async def estimate(source: StoreRows, trial: Callable[[Sequence[Row]], Awaitable[None]]) -> Estimate:
    """Return what to expect. `trial` writes rows on the other side. Changes nothing."""
    total, seconds = 0, 0.0
    for table in await source.tables():
        count = await source.count(table)
        total += count
        if not count:
            continue
        began_s = time.monotonic()
        batches = source.rows(table, None)
        sample = await anext(batches)
        await batches.aclose()  # type: ignore[attr-defined]
        read_s = time.monotonic() - began_s
        await trial(sample)
        write_s = time.monotonic() - began_s - read_s
        seconds += (READS * read_s + WRITES * write_s) * count / len(sample)
    return Estimate(total, seconds)
