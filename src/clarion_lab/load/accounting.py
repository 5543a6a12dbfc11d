"""The cost of Clarion's processes: user+system CPU time and peak memory of a process tree, and CPU time by stage."""

import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Final

import msgspec
import psutil

from clarion.ops.loop_busy import TURN

BUSY_METRIC: Final = "clarion_loop_busy_seconds"
BUSY_S_MAX: Final = 0.05
"""CPU seconds that a callback of an event loop may use. It is the bound of a bucket of `BUSY_METRIC`."""
STAGE_METRIC: Final = "clarion_stage_cpu_seconds_total"
_CLOCK_OF_ALL_THREADS: Final = 2
"""The lowest bits of a Linux clock's number, as `clock_getcpuclockid` sets them."""
ROLES: Final = ("api", "worker", "scheduler", "gateway", "confined")


class ProcessFacts(msgspec.Struct, frozen=True):
    """One process: `role` is `api`, `worker`, `scheduler`, `gateway` or `supervisor`; `cpu_s` includes children it
    has reaped, so that a restarted process is counted; `peak_bytes` is its resident high-water mark."""

    pid: int
    role: str
    cpu_s: float
    peak_bytes: int


def role_of(command: list[str]) -> str:
    """Return the role of a command line: the first word, or module, that names one, `supervisor` without any."""
    return next((name for word in command[1:] if (name := word.rpartition(".")[2]) in ROLES), "supervisor")


def _peak_bytes(process: psutil.Process) -> int:
    # Linux reports the high-water mark; psutil does not read it.
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return int(process.memory_info().rss)
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
    return int(line.split()[1]) * 1024 if line else int(process.memory_info().rss)


def _cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and of the children it has reaped."""
    times = process.cpu_times()
    reaped_s = float(times.children_user + times.children_system)
    if not sys.platform.startswith("linux"):
        return reaped_s + float(times.user + times.system)
    try:
        # The kernel's own clock of the process, in nanoseconds: psutil's figures are whole ticks of 10 ms.
        return reaped_s + time.clock_gettime((~process.pid << 3) | _CLOCK_OF_ALL_THREADS)
    except OSError as error:
        raise psutil.NoSuchProcess(process.pid) from error


def facts(process: psutil.Process) -> ProcessFacts | None:
    """Return the facts of a process, None when it has just ended."""
    try:
        return ProcessFacts(process.pid, role_of(process.cmdline()), _cpu_s(process), _peak_bytes(process))
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return None


def tree(pid: int) -> list[ProcessFacts]:
    """Return the facts of a process and its descendants, parents first; empty when it has ended."""
    try:
        root = psutil.Process(pid)
        members = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    return [fact for fact in map(facts, members) if fact is not None]


def stage_cpu_s(metrics: str) -> dict[str, float]:
    """Return CPU seconds by stage from a Prometheus text page; samples of several processes are added up."""
    found: dict[str, float] = {}
    for line in metrics.splitlines():
        if not line.startswith(STAGE_METRIC + "{"):
            continue
        labels, _, value = line[len(STAGE_METRIC) + 1 :].partition("} ")
        stage = next(
            (part.split("=", 1)[1].strip('"') for part in labels.split(",") if part.startswith("stage=")), None
        )
        if stage is not None:
            found[stage] = found.get(stage, 0.0) + float(value.split()[0])
    return found


_SAMPLE: Final = re.compile(BUSY_METRIC + r"_(?P<kind>bucket|count){(?P<labels>[^}]*)} (?P<value>\S+)")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


def busy(metrics: str) -> dict[str, int]:
    """Return the number of stretches beyond `BUSY_S_MAX` in a Prometheus text page, by `process.by`."""
    found: dict[str, int] = {}
    for sample in _SAMPLE.finditer(metrics):
        labels = dict(_LABEL.findall(sample["labels"]))
        sign = {"count": 1, "bucket": -(float(labels.get("le", "inf")) == BUSY_S_MAX)}[sample["kind"]]
        name = f"{labels['process']}.{labels['by']}"
        found[name] = found.get(name, 0) + sign * int(float(sample["value"]))
    return found


class MachineUsage:
    """The use of the machine since this object was made, by the children that this process has waited for and by other
    processes."""

    def __init__(self) -> None:
        self._began_s, self._busy_s, self._own_s = time.monotonic(), _busy_s(), _own_s()

    def others(self) -> float:
        """Return the share of all cores that other processes used."""
        wall_s = time.monotonic() - self._began_s
        others_s = _busy_s() - self._busy_s - (_own_s() - self._own_s)
        return max(0.0, others_s / max(wall_s, 1e-6) / (psutil.cpu_count() or 1))


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _own_s() -> float:
    usages = (getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Reading(msgspec.Struct, frozen=True):
    """Processes, stage counters and busy stretches at one instant."""

    processes: list[ProcessFacts]
    stages: dict[str, float]
    busy: dict[str, int] = {}

    def cpu_s(self, role: str | None = None) -> float:
        """Return CPU seconds of all processes, or of those of one role."""
        return sum(fact.cpu_s for fact in self.processes if role is None or fact.role == role)

    @property
    def peak_mb(self) -> float:
        """Return the sum of the processes' own peaks in MiB (shared pages count in each)."""
        return sum(fact.peak_bytes for fact in self.processes) / 2**20


def busy_since(before: Reading, after: Reading) -> dict[str, int]:
    """Return the number of stretches beyond `BUSY_S_MAX` between two readings, by `process.by`, without zeros."""
    since = {name: number - before.busy.get(name, 0) for name, number in after.busy.items()}
    return {name: number for name, number in sorted(since.items()) if number}


def blocked(loop_busy: Mapping[str, int]) -> list[str]:
    """Return the blocks, each one callback of a loop, that took more than `BUSY_S_MAX` of CPU. A `turn` is many
    callbacks."""
    return sorted(name for name in loop_busy if name.rpartition(".")[2] != TURN)


def split_us(before: Reading, after: Reading, n: int) -> dict[str, float]:
    """Return CPU microseconds per notification by stage.

    `accept` is the api process; `plan` and `record` are counted by the processes themselves; `deliver` is the rest of
    the total, so it includes the uncounted work (event loop, scheduler, supervisor).
    """
    total = after.cpu_s() - before.cpu_s()
    spent = {"accept": after.cpu_s("api") - before.cpu_s("api")}
    for stage in ("plan", "record"):
        spent[stage] = after.stages.get(stage, 0.0) - before.stages.get(stage, 0.0)
    spent["deliver"] = max(0.0, total - sum(spent.values()))
    return {stage: spent[stage] * 1e6 / n for stage in ("accept", "plan", "deliver", "record")} | {
        "total": total * 1e6 / n
    }
