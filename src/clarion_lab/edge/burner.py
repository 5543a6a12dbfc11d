"""A harmless process that takes as much CPU as it is told: `python -m clarion_lab.edge.burner SHARE` burns this share of
one core until it is ended."""

import sys
import time
from typing import Final

SLICE_S: Final = 0.01
"""Seconds of CPU between two looks at the clock."""


def main() -> None:
    """Burn."""
    share = float(sys.argv[1])
    began_s, used_s, value = time.monotonic(), time.process_time(), 0
    while True:
        ahead_s = time.process_time() - used_s - share * (time.monotonic() - began_s)
        if ahead_s > 0:
            time.sleep(max(ahead_s, SLICE_S))
            continue
        until_s = time.process_time() + SLICE_S
        while time.process_time() < until_s:
            for number in range(200):
                value ^= number


if __name__ == "__main__":
    main()
