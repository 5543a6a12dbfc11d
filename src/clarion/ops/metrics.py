"""Metrics of all processes of an installation, counted once per frame and never once per notification.

Every process keeps its numbers in small memory-mapped files below one directory, named after its role, so a restarted
worker goes on counting where its predecessor was killed; whichever process is asked adds them all up.
"""

import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SPENT_MAX: Final = 64
"""Batches whose CPU time is not counted yet: one by one, cold, each costs as much as a small batch."""
_STRETCHES: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "accepted": ("Notifications accepted", ("lane",)),
    "planned": ("Deliveries planned", ("channel", "decision")),
    "plan_rounds": ("Steps of planning decided again for want of facts", ()),
    "attempts": ("Calls to providers", ("channel", "outcome")),
    "provider_changes": ("Changes of how provider accounts stand", ("channel", "state")),
    "workflow_events": ("What workflow instances did", ("event",)),
    "timers": ("Timers fired", ()),
    "occurrences": ("Occurrences of schedules that came up", ("result",)),
    "quota_refused": ("Events refused because a quota was used up", ("kind",)),
    "paced": ("Deliveries put off by a limit of their account", ("channel", "limit")),
    "receipts": ("What providers told of messages afterwards", ("vendor", "kind", "matched")),
    "inbound": ("Messages of people to our senders", ("vendor", "word")),
    "refused": ("Requests refused with a problem document", ("code",)),
}
"""Short name of each counter to what it counts and its labels; exposed as `clarion_<name>_total`."""


class Metrics:
    """The counters of one process. Without a directory they live in memory only (tests, tools)."""

    def __init__(self, directory: Path | None = None, role: str = "process") -> None:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
            values.ValueClass = values.MultiProcessValue(lambda: role)  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        if directory is not None:
            MultiProcessCollector(self._registry, path=str(directory))  # type: ignore[no-untyped-call]
        own: dict[str, Any] = {"registry": None if directory is not None else self._registry}
        self._counters = {
            name: Counter(f"clarion_{name}_total", about, labels, **own) for name, (about, labels) in COUNTERS.items()
        }
        self._backlog = Gauge(
            "clarion_backlog_events", "Events not yet worked off", ["group"], multiprocess_mode="mostrecent", **own
        )
        self._cpu = Counter("clarion_stage_cpu_seconds_total", "CPU time spent in a stage", ["stage"], **own)
        self._stage = Histogram(
            "clarion_stage_seconds", "CPU time of one batch in a stage", ["stage"], buckets=_SECONDS, **own
        )
        self._busy = Histogram(
            "clarion_loop_busy_seconds",
            "CPU time an event loop spent at a stretch of at least 10 ms",
            ["process", "by"],
            buckets=_STRETCHES,
            **own,
        )
        self._process = role.partition("-")[0]
        self._children: dict[tuple[Any, ...], Counter] = {}
        """Counters by name and labels, and below those of stages: to look one up costs more than to count."""
        self._spent: deque[tuple[str, float]] = deque()
        self._stages: dict[str, tuple[Counter, Histogram]] = {}

    def count(self, name: str, amount: int, **labels: str) -> None:
        """Add to a counter of `COUNTERS`, with all of its labels."""
        key = (name, *labels.items())
        child = self._children.get(key)
        if child is None:
            counter = self._counters[name]
            child = self._children[key] = counter.labels(**labels) if labels else counter
        child.inc(amount)

    def backlog(self, group: str, events: int) -> None:
        """Set how many events a group has not worked off."""
        self._backlog.labels(group).set(events)

    def cpu(self, stage: str, seconds: float) -> None:
        """Add the CPU time one thread spent on one batch of a stage. It is counted by the next `flush`, or with many others."""
        self._spent.append((stage, seconds))
        if len(self._spent) >= _SPENT_MAX:
            self.flush()

    def flush(self) -> None:
        """Count what was added and is not counted yet. Called every second or so by each process, and from any thread."""
        with suppress(IndexError):
            while True:
                self._count_cpu(*self._spent.popleft())

    def _count_cpu(self, stage: str, seconds: float) -> None:
        children = self._stages.get(stage)
        if children is None:
            children = self._stages[stage] = self._cpu.labels(stage), self._stage.labels(stage)
        total, batches = children
        total.inc(seconds)
        batches.observe(seconds)

    def busy(self, by: str, seconds: float) -> None:
        """Add a stretch that kept the event loop of this process busy, by the stage it was of or `turn`."""
        self._busy.labels(self._process, by).observe(seconds)

    def exposition(self) -> bytes:
        """Return the sum over all processes in Prometheus' text format (`CONTENT_TYPE`)."""
        self.flush()
        return generate_latest(self._registry)
