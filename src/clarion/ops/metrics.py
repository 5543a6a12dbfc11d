"""Metrics of all processes of an installation, counted once per frame and never once per notification.

Every process stores its values in small memory-mapped files below one directory, named after its role, so a restarted
worker continues its killed predecessor's counts. The process that serves `/metrics` sums all of them.
"""

import os
from bisect import bisect_left
from collections import Counter as Counts
from collections import defaultdict, deque
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SPENT_MAX: Final = 512
"""Batches whose CPU time is buffered: counted one at a time, each would cost as much as a small batch."""
_STRETCHES: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "accepted": ("Notifications accepted", ("lane",)),
    "planned": ("Deliveries planned", ("channel", "decision")),
    "plan_rounds": ("Planning steps decided again because facts were missing", ()),
    "attempts": ("Calls to providers", ("channel", "outcome")),
    "provider_changes": ("Changes of account health", ("channel", "state")),
    "workflow_events": ("Events of workflow instances", ("event",)),
    "timers": ("Timers fired", ()),
    "occurrences": ("Occurrences of schedules processed", ("result",)),
    "quota_refused": ("Events refused because a quota was used up", ("kind",)),
    "paced": ("Deliveries deferred by a limit of their account", ("channel", "limit")),
    "receipts": ("Delivery receipts from providers", ("vendor", "kind", "matched")),
    "inbound": ("Inbound messages to senders", ("vendor", "word")),
    "refused": ("Requests refused with a problem document", ("code",)),
    "gateway_opened": ("Connections of users", ("transport",)),
    "gateway_closed": ("Connections of users that ended", ("transport", "code")),
    "gateway_joins": ("Clients greeted", ("recovered",)),
    "gateway_frames": ("Frames sent to users", ()),
    "security_events": ("Events of the security log", ("event",)),
}
"""Help text and labels of each counter by its short name; exposed as `clarion_<name>_total`."""


class _Histogram(Histogram):
    """A histogram that records many observations at the cost of a few."""

    def observe_all(self, amounts: Collection[float]) -> None:
        """Observe each of these amounts."""
        self._sum.inc(sum(amounts))
        bounds = self._upper_bounds
        for place, number in Counts(bisect_left(bounds, amount) for amount in amounts).items():
            self._buckets[place].inc(number)


class Metrics:
    """The metrics of one process. Without a directory they are held in memory only (tests, tools)."""

    def __init__(self, directory: Path | None = None, role: str = "process") -> None:
        if directory is not None:
            directory.mkdir(parents=True, exist_ok=True)
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
            mark_process_dead(role, str(directory))  # type: ignore[no-untyped-call]  # what a killed predecessor showed
            values.ValueClass = values.MultiProcessValue(lambda: role)  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        if directory is not None:
            MultiProcessCollector(self._registry, path=str(directory))  # type: ignore[no-untyped-call]
        own: dict[str, Any] = {"registry": None if directory is not None else self._registry}
        self._counters = {
            name: Counter(f"clarion_{name}_total", about, labels, **own) for name, (about, labels) in COUNTERS.items()
        }
        self._backlog = Gauge(
            "clarion_backlog_events", "Events not yet processed", ["group"], multiprocess_mode="livemostrecent", **own
        )
        self._missing = Gauge(
            "clarion_role_missing", "Whether nobody does a role", ["role"], multiprocess_mode="livemostrecent", **own
        )
        self._connections = Gauge(
            "clarion_gateway_connections", "Open connections of users", multiprocess_mode="livesum", **own
        )
        self._cpu = Counter("clarion_stage_cpu_seconds_total", "CPU time spent in a stage", ["stage"], **own)
        self._stage = _Histogram(
            "clarion_stage_seconds", "CPU time of one batch in a stage", ["stage"], buckets=_SECONDS, **own
        )
        self._busy = Histogram(
            "clarion_loop_busy_seconds",
            "CPU time of blocks and turns of an event loop of at least 10 ms",
            ["process", "by"],
            buckets=_STRETCHES,
            **own,
        )
        self._directory, self._role = directory, role
        self._process = role.partition("-")[0]
        self._children: dict[tuple[Any, ...], Counter] = {}
        """Counters by name and labels, cached like those of stages below: a lookup costs more than counting."""
        self._spent: deque[tuple[str, float]] = deque()
        self._stages: dict[str, tuple[Counter, _Histogram]] = {}

    def count(self, name: str, amount: int, **labels: str) -> None:
        """Add to a counter of `COUNTERS`, with all of its labels."""
        key = (name, *labels.items())
        child = self._children.get(key)
        if child is None:
            counter = self._counters[name]
            child = self._children[key] = counter.labels(**labels) if labels else counter
        child.inc(amount)

    def backlog(self, group: str, events: int) -> None:
        """Set the number of events that a group has not processed."""
        self._backlog.labels(group).set(events)

    def role_missing(self, role: str, is_missing: bool) -> None:
        """Set whether nobody does a role."""
        self._missing.labels(role).set(is_missing)

    def connections(self, number: int) -> None:
        """Set the number of users' connections that this process has."""
        self._connections.set(number)

    def cpu(self, stage: str, seconds: float) -> None:
        """Add the CPU time one thread spent on one batch of a stage. It is counted by the next `flush`, at the latest
        when `_SPENT_MAX` batches are buffered."""
        self._spent.append((stage, seconds))
        if len(self._spent) >= _SPENT_MAX:
            self.flush()

    def flush(self) -> None:
        """Count the buffered batches. Called about every second by each process; any thread may call it."""
        spent: defaultdict[str, list[float]] = defaultdict(list)
        with suppress(IndexError):
            while True:
                stage, seconds = self._spent.popleft()
                spent[stage].append(seconds)
        for stage, batches in spent.items():
            self._count_cpu(stage, batches)

    def _count_cpu(self, stage: str, batches: Collection[float]) -> None:
        children = self._stages.get(stage)
        if children is None:
            children = self._stages[stage] = self._cpu.labels(stage), self._stage.labels(stage)
        total, histogram = children
        total.inc(sum(batches))
        histogram.observe_all(batches)

    def busy(self, by: str, seconds: float) -> None:
        """Add a block or turn of this process's event loop; `by` is its stage, or `turn`."""
        self._busy.labels(self._process, by).observe(seconds)

    def end(self) -> None:
        """Take back what this process shows as long as it lives (gauges); what it counted stays."""
        if self._directory is not None:
            mark_process_dead(self._role, str(self._directory))  # type: ignore[no-untyped-call]

    def exposition(self) -> bytes:
        """Return the sums over all processes in Prometheus' text format (`CONTENT_TYPE`)."""
        self.flush()
        return generate_latest(self._registry)
