"""Metrics of all processes of an installation, counted once per frame and never once per notification.

Every process keeps its numbers in small memory-mapped files below one directory, named after its role, so a restarted
worker goes on counting where its predecessor was killed; whichever process is asked adds them all up.
"""

import os
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


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
        self._accepted = Counter("clarion_accepted_total", "Notifications accepted", ["lane"], **own)
        self._planned = Counter("clarion_planned_total", "Deliveries planned", ["channel", "decision"], **own)
        self._attempts = Counter("clarion_attempts_total", "Calls to providers", ["channel", "outcome"], **own)
        self._finished = Counter("clarion_finished_total", "Deliveries that reached a terminal state", ["state"], **own)
        self._timers = Counter("clarion_timers_total", "Timers fired", **own)
        self._refused = Counter("clarion_refused_total", "Requests refused", ["code"], **own)
        self._counters = {
            "accepted": self._accepted,
            "planned": self._planned,
            "attempts": self._attempts,
            "timers": self._timers,
            "refused": self._refused,
        }
        self._backlog = Gauge(
            "clarion_backlog_events", "Events not yet worked off", ["group"], multiprocess_mode="mostrecent", **own
        )
        self._cpu = Counter("clarion_stage_cpu_seconds_total", "CPU time spent in a stage", ["stage"], **own)
        self._cpu = Counter("clarion_stage_cpu_seconds", "CPU time of a stage in its thread", ["stage"], **own)
        self._stage = Histogram("clarion_stage_seconds", "Time one batch took", ["stage"], buckets=_SECONDS, **own)

    def accepted(self, lane: str, count: int) -> None:
        """Count notifications that became durable."""
        self._accepted.labels(lane).inc(count)

    def planned(self, channel: str, send: int, skip: int) -> None:
        """Count deliveries of a frame by decision."""
        self._planned.labels(channel, "send").inc(send)
        self._planned.labels(channel, "skip").inc(skip)

    def attempts(self, channel: str, outcome: str, count: int) -> None:
        """Count attempts of a frame that ended the same way."""
        self._attempts.labels(channel, outcome).inc(count)

    def finished(self, state: str, count: int) -> None:
        """Count deliveries that came to rest."""
        self._finished.labels(state).inc(count)

    def timers(self, count: int) -> None:
        """Count timers that fired."""
        self._timers.inc(count)

    def refused(self, code: str, count: int = 1) -> None:
        """Count requests refused with a problem document."""
        self._refused.labels(code).inc(count)

    def backlog(self, group: str, events: int) -> None:
        """Set how many events a group has not worked off."""
        self._backlog.labels(group).set(events)

    def stage(self, stage: str, seconds: float, cpu_seconds: float = 0.0) -> None:
        """Observe how long a stage took over one batch, and what it cost."""
        self._stage.labels(stage).observe(seconds)
        self._cpu.labels(stage).inc(cpu_seconds)

    def count(self, name: str, amount: int, **labels: str) -> None:
        """Add to a counter by its short name (`accepted`, `planned`, `attempts`, `timers`, `refused`)."""
        counter = self._counters[name]
        (counter.labels(**labels) if labels else counter).inc(amount)

    def cpu(self, stage: str, seconds: float) -> None:
        """Add CPU time one thread spent in a stage."""
        self._cpu.labels(stage).inc(seconds)

    def exposition(self) -> bytes:
        """Return the sum over all processes in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self._registry)
