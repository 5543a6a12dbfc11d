"""The cost of more workers: pushes at a rate for each of 1, 2 and 4 worker processes, in rounds.

The load grows with the workers, as an installation does: a worker has the same work each time, and so batches of the same size. What counts is the CPU of Clarion and, beside it, of its database server, for each notification: that of the provider is not in it. It
has to stay the same: workers that waited for each other, or looked for work that others have, would use more.
"""

import statistics
from typing import Any, Final

import msgspec
from rich.table import Table

from clarion_lab.bench.cases import chosen
from clarion_lab.bench.figures import Figures
from clarion_lab.bench.measure import BenchRequest, Outcome, run
from clarion_lab.bench.stores import checked

COUNTS: Final = (1, 2, 4)
ROUNDS: Final = 3
N: Final = 5_000
"""Notifications for each worker."""
RATE: Final = 5.0
"""Requests a second for each worker, of 100 notifications each."""
FLAT_MAX: Final = 1.15
"""The most CPU that a notification may use with any number of workers, by that with one."""


def workers(asked: BenchRequest, engine: str) -> Outcome:
    """Measure and return the figures. The case passes when nothing was lost and the CPU stays the same. Raises `OperatorError` for
    an unknown engine."""
    checked(engine)
    found: dict[int, list[Figures]] = {count: [] for count in COUNTS}
    for number in range(ROUNDS):
        # Each round the other way round, so that what changes with time counts for all of them.
        for count in COUNTS if number % 2 == 0 else COUNTS[::-1]:
            folder = asked.folder / f"{number + 1}-with-{count}"
            folder.mkdir()
            asked.console.print(f"round {number + 1}: {count} workers")
            case = chosen("push", (asked.n or N) * count, (asked.rate or RATE) * count)
            case = msgspec.structs.replace(case, name="workers")
            found[count].append(run(case, asked._replace(folder=folder, workers=count), engine=engine))
    outcome = outcome_of(found, engine)
    asked.console.print(_table(outcome.line))
    return outcome


def outcome_of(found: dict[int, list[Figures]], engine: str) -> Outcome:
    """Return the line of JSON of all runs, by the number of workers."""
    every = [figures for runs in found.values() for figures in runs]
    ours = {count: statistics.median(one.cpu_us["total"] for one in runs) for count, runs in found.items()}
    both = {
        count: statistics.median(one.cpu_us["total"] + one.server_cpu_us for one in runs)
        for count, runs in found.items()
    }
    least = min(found)
    flat = max(both.values()) / both[least]
    clean = all(figures.passed for figures in every)
    line: dict[str, Any] = {
        "case": "workers",
        "engine": engine,
        "n": found[least][0].n,
        "rounds": len(found[least]),
        "cpu_us": {str(count): round(value, 1) for count, value in ours.items()},
        "cpu_us_with_server": {str(count): round(value, 1) for count, value in both.items()},
        "per_second": {
            str(count): round(statistics.median(one.per_second for one in runs), 1) for count, runs in found.items()
        },
        "simulator_cpu_us": round(statistics.median(one.simulator_cpu_us for one in every), 1),
        "flat": round(flat, 3),
        "flat_max": FLAT_MAX,
        "missed": ["flat"] if flat > FLAT_MAX else [],
        "lost": sum(figures.balance.lost for figures in every),
        "duplicates": sum(figures.balance.duplicates for figures in every),
        "passed": clean and flat <= FLAT_MAX,
    }
    return Outcome(line, bool(line["passed"]))


def _table(line: dict[str, Any]) -> Table:
    table = Table("workers", "CPU us", "with the server's", "a second", title=f"workers, {line['engine']}")
    for count in line["cpu_us"]:
        figures = (line[name][count] for name in ("cpu_us", "cpu_us_with_server", "per_second"))
        table.add_row(count, *(f"{figure:,.1f}" for figure in figures))
    return table
