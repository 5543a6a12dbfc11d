"""`make nightly`: everything that `make test` runs, and what searches: long profiles of laws, stories repeated over other stores and
versions, long chaos. It comes in parts, so that a night on several machines is short, and ends with one table.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from clarion_lab.machine.engines import NEWEST_VARIABLE, take_from_environment

_SUMMARY: Final = re.compile(r"(\d+) (passed|failed|skipped|errors?|deselected)\b")
_FALLEN: Final = ("FAILED ", "ERROR ", "FAILED: ")
_NEWEST: Final = {NEWEST_VARIABLE: "1"}
_USAGE: Final = "usage: python -m clarion_lab.nightly [PART/PARTS], such as 1/3"


class Step(NamedTuple):
    """A call of make, in one of the parts."""

    part: int
    words: tuple[str, ...]
    env: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        """The words and the variables."""
        return " ".join([*(f"{name}={value}" for name, value in self.env.items()), *self.words])


STEPS: Final = (
    Step(1, ("test",)),
    Step(1, ("test-memory",)),
    Step(1, ("chaos", "CASE=edge")),
    Step(2, ("test-slow",)),
    Step(2, ("search",)),
    Step(2, ("chaos", "CASE=kill9", "KILLS=50")),
    Step(2, ("chaos", "CASE=workflows")),
    Step(3, ("test-e2e-postgres",)),
    Step(3, ("test-engines", "NIGHTLY=1"), _NEWEST),
    Step(3, ("chaos", "CASE=kill9", "ENGINE=postgres", "KILLS=50")),
    Step(3, ("chaos", "CASE=workflows", "ENGINE=postgres")),
    Step(3, ("chaos", "CASE=failover")),
    Step(3, ("chaos", "CASE=outage")),
    Step(3, ("bench", "CASE=guard")),
)
PARTS: Final = max(step.part for step in STEPS)


class Outcome(NamedTuple):
    """What became of a step: how long it took, the counts of its tests, and the lines that name what fell."""

    step: Step
    seconds: float
    code: int
    counts: Mapping[str, int]
    fallen: Sequence[str]


def chosen(part: str) -> list[Step]:
    """Return the steps of a part such as `2/3`, of all parts for an empty text. Raises `ValueError` for another text."""
    if not part:
        return list(STEPS)
    number, _, parts = part.partition("/")
    if parts != str(PARTS) or not number.isdigit() or not 1 <= int(number) <= PARTS:
        raise ValueError(f"there is no part {part}: the night has {PARTS}, 1/{PARTS} to {PARTS}/{PARTS}")
    return [step for step in STEPS if step.part == int(number)]


def read(lines: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Return the counts of all test runs in a step's output, and the lines that name what fell."""
    counts: dict[str, int] = {}
    for line in lines:
        if " in " in line and line.strip("=\n").strip()[:1].isdigit():
            for number, what in _SUMMARY.findall(line):
                counts[what] = counts.get(what, 0) + int(number)
    return counts, [line.strip() for line in lines if line.startswith(_FALLEN)]


def _ran(step: Step) -> Outcome:
    started_s, lines = time.monotonic(), list[str]()
    process = subprocess.Popen(  # noqa: S603
        ["make", "--no-print-directory", *step.words],  # noqa: S607
        env=os.environ | step.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            lines.append(line)
    counts, fallen = read(lines)
    return Outcome(step, time.monotonic() - started_s, process.returncode, counts, fallen)


def _rows(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, ...]]:
    for one in outcomes:
        ran = ", ".join(f"{number} {what}" for what, number in one.counts.items())
        yield (
            one.step.name,
            f"{one.seconds:.0f}",
            ran,
            "\n".join(one.fallen) if one.code == 0 or one.fallen else f"exit {one.code}",
        )
    yield "in all", f"{sum(one.seconds for one in outcomes):.0f}", "", f"{sum(one.code != 0 for one in outcomes)} steps"


def main(words: Sequence[str]) -> int:
    """Run a part or all of them to the end, print the table, and return 1 when a step failed."""
    try:
        (part,) = words or [""]
        steps = chosen(part)
    except ValueError as error:
        sys.exit(f"{error}\n{_USAGE}")
    take_from_environment()
    outcomes = [_ran(step) for step in steps]
    table = Table("step", "s", "ran", "fell", title=f"night {part}".strip())
    for row in _rows(outcomes):
        table.add_row(*row)
    Console(width=max(120, Console().width)).print(table)
    return int(any(one.code for one in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
