"""The figures of a run: one JSON object for machines, a table for people."""

from collections.abc import Mapping
from typing import Any

import msgspec
from rich.table import Table

from clarion_lab.bench.reconcile import Balance


class Figures(msgspec.Struct, frozen=True):
    """One run. `seconds` is from the first request to the last expected event: the provider's last receipt, or for
    channels without provider the moment when everything was recorded. CPU is user+system of all processes of Clarion,
    in microseconds per delivery; `server_cpu_us` is that of the database server, 0 without one. `p50_ms` and `p99_ms` are from the intended send time to the provider's receipt, or to
    the API's response without a provider; None for broadcasts. `loop_busy` counts stretches of more than 50 ms of CPU
    on an event loop, by process and kind."""

    case: str
    n: int
    seconds: float
    cpu_us: dict[str, float]
    simulator_cpu_us: float
    p50_ms: float | None
    p99_ms: float | None
    rss_mb: float
    balance: Balance
    generator_cpu_us: float = 0.0
    server_cpu_us: float = 0.0
    held: int = 0
    loop_busy: dict[str, int] = {}
    errors: list[str] = []

    @property
    def passed(self) -> bool:
        """Return whether every request was acknowledged, arrived and reached a terminal state."""
        return self.balance.clean and not self.errors

    @property
    def per_second(self) -> float:
        """Return deliveries a second."""
        return self.n / self.seconds if self.seconds else 0.0

    def line(self) -> str:
        """Return the figures as one line of JSON."""
        return msgspec.json.encode(self.as_dict()).decode()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of the line."""
        return {
            "case": self.case,
            "n": self.n,
            "seconds": round(self.seconds, 3),
            "per_second": round(self.per_second, 1),
            "cpu_us": {stage: round(us, 3) for stage, us in self.cpu_us.items()},
            "server_cpu_us": round(self.server_cpu_us, 2),
            "simulator_cpu_us": round(self.simulator_cpu_us, 2),
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "rss_mb": round(self.rss_mb, 1),
            "loop_busy": self.loop_busy,
            "lost": self.balance.lost,
            "duplicates": self.balance.duplicates,
        }

    def table(self) -> Table:
        """Return the figures for people, with those that the JSON omits."""
        table = Table(title=f"{self.case}: {self.n:,} deliveries", show_header=False)
        rows: dict[str, Any] = {
            "a second": f"{self.n / self.seconds:,.0f}" if self.seconds else "-",
            "CPU us a delivery": ", ".join(f"{stage} {us:.1f}" for stage, us in self.cpu_us.items()),
            "database server us": f"{self.server_cpu_us:.1f}",
            "simulator / load generator us": f"{self.simulator_cpu_us:.1f} / {self.generator_cpu_us:.1f}",
            "p50 / p99 ms": f"{self.p50_ms} / {self.p99_ms}",
            "memory MB": f"{self.rss_mb:,.0f}",
            "lost / duplicates": f"{self.balance.lost} / {self.balance.duplicates}",
            "unfinished / failed": f"{self.balance.unfinished} / {self.balance.failed}",
            "held back (429, 503)": self.held,
            "errors": len(self.errors),
        }
        for name, value in rows.items():
            table.add_row(name, str(value))
        return table


def joined(runs: Mapping[str, Figures]) -> dict[str, Any]:
    """Return the fields of the line of several runs of a case: the figures of the first run, the lost and duplicate
    deliveries of all runs, and the figures of the other runs by name under `dkim`."""
    first, *others = runs
    line = runs[first].as_dict()
    if others:
        line |= {name: sum(run.as_dict()[name] for run in runs.values()) for name in ("lost", "duplicates")}
        line["dkim"] = {name: runs[name].as_dict() for name in others}
    return line
