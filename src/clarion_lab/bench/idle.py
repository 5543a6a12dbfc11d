"""The cost of an idle installation, observed from outside, and the latency of its first notification after an idle
time.

A fresh `clarion up` with default settings runs idle and is observed. Then it gets a tenant with a provider and sends a
few pushes, so that its workers have the token of the account, as in an installation in use. After another idle minute
it sends one push; more follow, after a few idle seconds each.
"""

import re
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from clarion.app.cli.remote import Remote
from clarion_lab.bench.measure import BenchRequest, Outcome
from clarion_lab.load import people, receipts, seed_data
from clarion_lab.load.accounting import facts
from clarion_lab.load.growth import LineCount
from clarion_lab.load.programs import RunError, Simulator, System, running, wait_for

WATCHED_S: Final = 60
SETTLED_CPU_S: Final = 0.05
"""CPU seconds that a settled installation may use in a second."""
SETTLE_TIMEOUT_S: Final = 60.0
SILENCE_S: Final = 60.0
"""Idle seconds before the first send."""
PAUSE_S: Final = 5.0
"""Idle seconds before each further send."""
SENDS: Final = 5
SEND_TIMEOUT_S: Final = 20.0
CHANNEL: Final = "push"
BOUNDS: Final = {"cpu_share": 0.01, "wakeups_per_second": 5.0, "pss_mb": 250.0, "first_send_ms": 60.0}
"""The bound of each figure; that of the wake-ups holds for each process."""
_SWITCHES: Final = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)
_PSS: Final = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


class ProcessUsage(NamedTuple):
    """A process at one instant: its CPU seconds, the number of sleeps of each of its threads, and its share of
    memory."""

    cpu_s: float
    sleeps: dict[int, int]
    pss_mb: float


class Idle(NamedTuple):
    """The figures of a measurement. Those of single processes are by name."""

    seconds: float
    cpu_share: float
    wakeups_per_second: dict[str, float]
    pss_mb: dict[str, float]
    new_account_ms: list[float]
    sends_ms: list[float]

    def outcome(self) -> Outcome:
        """Return the line of JSON, and whether every figure is within its bound."""
        figures = {
            "cpu_share": self.cpu_share,
            "wakeups_per_second": max(self.wakeups_per_second.values()),
            "pss_mb": sum(self.pss_mb.values()),
            "first_send_ms": self.sends_ms[0],
        }
        missed = [name for name, bound in BOUNDS.items() if figures[name] > bound]
        line: dict[str, Any] = {
            "case": "idle",
            "seconds": round(self.seconds, 1),
            "cpu_share": round(self.cpu_share, 4),
            "wakeups_per_second": round(figures["wakeups_per_second"], 1),
            "wakeups_by_process": {name: round(rate, 1) for name, rate in self.wakeups_per_second.items()},
            "pss_mb": round(figures["pss_mb"], 1),
            "pss_mb_by_process": {name: round(share, 1) for name, share in self.pss_mb.items()},
            "first_send_ms": round(self.sends_ms[0], 1),
            "later_sends_ms": [round(took, 1) for took in self.sends_ms[1:]],
            "send_median_ms": round(statistics.median(self.sends_ms), 1),
            "send_worst_ms": round(max(self.sends_ms), 1),
            "new_account_ms": [round(took, 1) for took in self.new_account_ms],
            "bounds": BOUNDS,
            "missed": missed,
            "passed": not missed,
        }
        return Outcome(line, not missed)


def idle(asked: BenchRequest) -> Outcome:
    """Measure and return the figures; `n` of the request is the seconds to observe. Raises `RunError` when processes do
    not show their usage, and when one started or ended during the measurement."""
    if not psutil.LINUX:
        raise RunError("the case idle reads /proc, so it runs on Linux only")
    simulator = Simulator(asked.folder / "simulator")
    try:
        system = System(asked.folder, _environment(simulator))
        with running(system):
            _settle(system)
            asked.console.print("settled; watching", highlight=False)
            before, began_s = read_usage(system), time.monotonic()
            time.sleep(asked.n or WATCHED_S)
            after, seconds = read_usage(system), time.monotonic() - began_s
            client = _seed_all(system, simulator)
            asked.console.print("watched; silence before the first send", highlight=False)
            new_account_ms = [_sent_ms(client, simulator, 0.0) for _ in range(SENDS)]
            sends_ms = [_sent_ms(client, simulator, PAUSE_S if number else SILENCE_S) for number in range(SENDS)]
    finally:
        simulator.stop()
    return compare(before, after, seconds)._replace(new_account_ms=new_account_ms, sends_ms=sends_ms).outcome()


def compare(before: Mapping[str, ProcessUsage], after: Mapping[str, ProcessUsage], seconds: float) -> Idle:
    """Return the figures between two readings. Raises `RunError` when they are of different processes."""
    if before.keys() != after.keys():
        changed = ", ".join(sorted(before.keys() ^ after.keys()))
        raise RunError(f"these processes started or ended while nothing was asked of them: {changed}")
    slept = {
        name: sum(number - before[name].sleeps.get(thread, 0) for thread, number in seen.sleeps.items())
        for name, seen in after.items()
    }
    return Idle(
        seconds=seconds,
        cpu_share=sum(seen.cpu_s - before[name].cpu_s for name, seen in after.items()) / seconds,
        wakeups_per_second={name: number / seconds for name, number in slept.items()},
        pss_mb={name: seen.pss_mb for name, seen in after.items()},
        new_account_ms=[],
        sends_ms=[],
    )


def read_usage(system: System) -> dict[str, ProcessUsage]:
    """Return the current usage of all processes of an installation, by name. Raises `RunError` when one has just
    ended."""
    names = {int(file.read_text()): file.stem for file in (system.folder / "data" / "run").glob("*.pid")}
    found = {}
    for role, processes in system.processes().items():
        for process in processes:
            name = names.get(process.pid, f"{role}-{process.pid}")
            found[name] = usage_of(process)
    return found


def usage_of(process: psutil.Process) -> ProcessUsage:
    """Return the current usage of a process. Raises `RunError` when it has ended."""
    proc = Path(f"/proc/{process.pid}")
    fact = facts(process)
    try:
        statuses = {int(task.name): (task / "status").read_text() for task in (proc / "task").iterdir()}
        pss = _PSS.search((proc / "smaps_rollup").read_text())
    except OSError as error:
        raise RunError(f"process {process.pid} does not show its usage: {error}") from error
    if fact is None or pss is None:
        raise RunError(f"process {process.pid} does not show its usage")
    sleeps = {thread: int(found[1]) for thread, text in statuses.items() if (found := _SWITCHES.search(text))}
    return ProcessUsage(fact.cpu_s, sleeps, int(pss[1]) / 1024)


def _environment(simulator: Simulator) -> dict[str, str]:
    """Return the environment: defaults except for the operator's key and the settings for a provider on loopback."""
    asked = ("CLARION_OPERATOR_KEY", "CLARION_EGRESS_ALLOW_PRIVATE", "CLARION_EGRESS_CA_FILE")
    return {name: value for name, value in seed_data.environment(simulator.ready, 1).items() if name in asked}


def _settle(system: System) -> None:
    """Wait for a second in which the installation uses almost no CPU."""

    def settled() -> bool:
        before = {name: one.cpu_s for name, one in read_usage(system).items()}
        time.sleep(1.0)
        after = {name: one.cpu_s for name, one in read_usage(system).items()}
        return before.keys() == after.keys() and sum(after.values()) - sum(before.values()) <= SETTLED_CPU_S

    wait_for("an idle installation settles", settled, SETTLE_TIMEOUT_S)


def _seed_all(system: System, simulator: Simulator) -> Remote:
    """Return a client of a tenant that can send."""
    client = system.client(seed_data.tenant(system))
    seed_data.definitions(client, [CHANNEL])
    seed_data.provider(client, CHANNEL, simulator.ready)
    vendor = seed_data.VENDORS[CHANNEL]
    seed_data.users(
        client, SENDS, profiles=False, progress=lambda _done: None, reach=seed_data.reach(simulator.ready, vendor)
    )
    return client


def _sent_ms(client: Remote, simulator: Simulator, silence_s: float) -> float:
    """Send one notification after an idle time and return the time (ms) from its request to the call of the
    provider."""
    lines = LineCount(simulator.ready.receipts_file)
    number = lines.read()
    body = {"to": people.user_id(number % SENDS), "template": people.TEMPLATE, "channels": [CHANNEL]}
    time.sleep(silence_s)
    began_ms = time.time_ns() / 1e6
    client.post("/v1/notifications", body | {"data": people.data(number)})
    wait_for("the provider is called", lambda: lines.read() > number, SEND_TIMEOUT_S)
    simulator.check()
    return receipts.read(simulator.ready.receipts_file)[-1].at_ms - began_ms
