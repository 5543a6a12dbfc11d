"""Child of the crash test: folds a stream into `state.db` again and again in small batches, until it is killed.

Usage: crash_folder.py BACKEND DATA_DIR SEED FRAMES. It prints one line per stored batch.
"""

import asyncio
import os
import sys
from pathlib import Path

from clarion.ports.stage_store import Position
from clarion.ports.state import Advance
from clarion.record.gather import OpenRows

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.contract.states import STATES
from tests.contract.story import BATCH_FRAMES, story
from tests.folding import fold_on


async def main(backend: str, data_dir: Path, seed: int, frames: int) -> None:
    """Fold from the position in the file on."""
    stream = story(seed, frames)
    state = STATES[backend](data_dir)
    rows = OpenRows()
    offset = (await state.ledger.positions()).get(0, Position(0)).offset
    while batch := stream[offset : offset + BATCH_FRAMES]:
        await fold_on(batch, state.ledger, rows, [Advance(0, offset, batch[-1].offset, fence=1)])
        offset = batch[-1].offset
        os.write(sys.stdout.fileno(), b"stored\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
