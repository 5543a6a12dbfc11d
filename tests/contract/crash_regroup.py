"""Child of the crash test: changes the number of partitions again and again, and prints a newline before it begins.

Usage: crash_regroup.py BACKEND DATA_DIR. The parent kills this process at any moment.
"""

import asyncio
import os
import sys
from pathlib import Path

from clarion.plan.placement import Regrouping

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.contract.crash_writer import MachineClock
from tests.contract.journals import BACKENDS


async def main(backend: str, data_dir: Path) -> None:
    journal = BACKENDS[backend](data_dir, MachineClock())
    os.write(sys.stdout.fileno(), b"\n")
    while True:
        await journal.regroup(Regrouping(journal.partitions, 8 if journal.partitions == 4 else 4), {})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
