"""What an installation costs that nobody uses, watched from outside, and how long its first notification after a silence takes.

A fresh `clarion up` with default settings is left alone and watched. Then it gets a tenant with a provider and sends a few pushes, so
that its workers have the token of the account, as in an installation that is in use. It is left alone again for a minute, and sends
one push; more follow, after a few seconds of silence each.
"""

import re
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from clarion.app.commands.remote import Remote
from clarion_lab.bench.measure import Asked, Outcome
from clarion_lab.load import furnish, people, receipts
from clarion_lab.load.accounting import facts
from clarion_lab.load.growth import LineCount
from clarion_lab.load.programs import RunError, Simulator, System, running, wait_for

WATCHED_S: Final = 60
SETTLED_CPU_S: Final = 0.05
"""CPU that an installation which has settled may use in a second."""
SETTLE_TIMEOUT_S: Final = 60.0
SILENCE_S: Final = 60.0
"""Before the first send."""
PAUSE_S: Final = 5.0
"""Before each further send."""
SENDS: Final = 5
SEND_TIMEOUT_S: Final = 20.0
CHANNEL: Final = "push"
BOUNDS: Final = {"cpu_share": 0.01, "wakeups_per_second": 5.0, "pss_mb": 250.0, "first_send_ms": 60.0}
"""The most that each figure may be; of the wake-ups, those of each process."""
_SWITCHES: Final = re.compile(r"^voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)
_PSS: Final = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


class Seen(NamedTuple):
    """A process at one instant: its CPU seconds, how often each of its threads went to sleep, and its share of memory."""

    cpu_s: float
    sleeps: dict[int, int]
    pss_mb: float


class Idle(NamedTuple):
    """Everything that was found. What is of one process is by its name."""

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


def idle(asked: Asked) -> Outcome:
    """Measure; `n` of what is asked is the seconds to watch. Raises `RunError` where processes do not show what they use, and
    when one started or ended meanwhile."""
    if not psutil.LINUX:
        raise RunError("the case idle reads /proc, so it runs on Linux only")
    simulator = Simulator(asked.folder / "simulator")
    try:
        system = System(asked.folder, _environment(simulator))
        with running(system):
            _settle(system)
            asked.console.print("settled; watching", highlight=False)
            before, began_s = look(system), time.monotonic()
            time.sleep(asked.n or WATCHED_S)
            after, seconds = look(system), time.monotonic() - began_s
            client = _furnished(system, simulator)
            asked.console.print("watched; silence before the first send", highlight=False)
            new_account_ms = [_sent_ms(client, simulator, 0.0) for _ in range(SENDS)]
            sends_ms = [_sent_ms(client, simulator, PAUSE_S if number else SILENCE_S) for number in range(SENDS)]
    finally:
        simulator.stop()
    return compared(before, after, seconds)._replace(new_account_ms=new_account_ms, sends_ms=sends_ms).outcome()


def compared(before: Mapping[str, Seen], after: Mapping[str, Seen], seconds: float) -> Idle:
    """Return what lies between two looks. Raises `RunError` when they are of different processes."""
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


def look(system: System) -> dict[str, Seen]:
    """Return all processes of an installation as they are now, by their names. Raises `RunError` when one just ends."""
    names = {int(file.read_text()): file.stem for file in (system.folder / "data" / "run").glob("*.pid")}
    found = {}
    for role, processes in system.processes().items():
        for process in processes:
            name = names.get(process.pid, f"{role}-{process.pid}")
            found[name] = seen(process)
    return found


def seen(process: psutil.Process) -> Seen:
    """Return a process as it is now. Raises `RunError` when it is gone."""
    proc = Path(f"/proc/{process.pid}")
    fact = facts(process)
    try:
        statuses = {int(task.name): (task / "status").read_text() for task in (proc / "task").iterdir()}
        pss = _PSS.search((proc / "smaps_rollup").read_text())
    except OSError as error:
        raise RunError(f"process {process.pid} does not show what it uses: {error}") from error
    if fact is None or pss is None:
        raise RunError(f"process {process.pid} does not show what it uses")
    sleeps = {thread: int(found[1]) for thread, text in statuses.items() if (found := _SWITCHES.search(text))}
    return Seen(fact.cpu_s, sleeps, int(pss[1]) / 1024)


def _environment(simulator: Simulator) -> dict[str, str]:
    """Return defaults, but for the operator's key and what a provider on loopback needs."""
    asked = ("CLARION_OPERATOR_KEY", "CLARION_EGRESS_ALLOW_PRIVATE", "CLARION_EGRESS_CA_FILE")
    return {name: value for name, value in furnish.environment(simulator.ready, 1).items() if name in asked}


def _settle(system: System) -> None:
    """Wait for a second in which next to nothing is done."""

    def settled() -> bool:
        before = {name: one.cpu_s for name, one in look(system).items()}
        time.sleep(1.0)
        after = {name: one.cpu_s for name, one in look(system).items()}
        return before.keys() == after.keys() and sum(after.values()) - sum(before.values()) <= SETTLED_CPU_S

    wait_for("an installation that nobody uses settles", settled, SETTLE_TIMEOUT_S)


def _furnished(system: System, simulator: Simulator) -> Remote:
    """Return a client of a tenant that can send."""
    client = system.client(furnish.tenant(system))
    furnish.definitions(client, [CHANNEL])
    furnish.provider(client, CHANNEL, simulator.ready)
    vendor = furnish.VENDORS[CHANNEL]
    furnish.users(
        client, SENDS, profiles=False, progress=lambda _done: None, reach=furnish.reach(simulator.ready, vendor)
    )
    return client


def _sent_ms(client: Remote, simulator: Simulator, silence_s: float) -> float:
    """Send one notification after a silence and return the time from its request to the call of the provider."""
    lines = LineCount(simulator.ready.receipts_file)
    number = lines.read()
    body = {"to": people.user_id(number % SENDS), "template": people.TEMPLATE, "channels": [CHANNEL]}
    time.sleep(silence_s)
    began_ms = time.time_ns() / 1e6
    client.post("/v1/notifications", body | {"data": people.data(number)})
    wait_for("the provider is called", lambda: lines.read() > number, SEND_TIMEOUT_S)
    simulator.check()
    return receipts.read(simulator.ready.receipts_file)[-1].at_ms - began_ms
