"""The cost of distance: pushes of many tenants, with and without a delay of every call of a store or stream.

Two runs with the delay and two without (in the order without, with, with, without), each on its own installation under
the same load. Every acknowledged notification has to reach the provider.
"""

import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from clarion.app.lab import DELAYS_VARIABLE
from clarion_lab.bench.cases import Case
from clarion_lab.bench.measure import BenchRequest, Outcome, progress_of
from clarion_lab.bench.reconcile import Balance, balance
from clarion_lab.bench.round_trips import GOALS, Stage, missed, stages
from clarion_lab.bench.run import NS_A_MS, Load
from clarion_lab.bench.stores import SQLITE, checked, opened
from clarion_lab.load import people, receipts, seed_data
from clarion_lab.load.accounting import blocked, busy_since, split_us
from clarion_lab.load.delays import Counts, Delays
from clarion_lab.load.growth import LineCount
from clarion_lab.load.programs import RunError, Simulator, System, running, wait_while_growing

CASE: Final = Case(
    "rtt", "25 notifications a request of 200 tenants in turn, FCM over HTTP/2", "push", 40_000, 25, 32, provider=True
)
TENANTS: Final = 200
USERS_A_TENANT: Final = 50
RTT_MS: Final = 10.0
RATIO_MIN: Final = 0.6
STALL_S: Final = 45.0
COUNTED_S: Final = 0.6
"""The seconds after which every process has written its counts."""
CLIENTS: Final = 8


class Distance(NamedTuple):
    """One run: notifications a second, CPU microseconds each, the number lost, and the stages if it was delayed."""

    per_second: float
    cpu_us: float
    balance: Balance
    errors: list[str]
    stages: dict[str, Stage]
    loop_busy: dict[str, int]


def rtt(asked: BenchRequest, rtt_ms: float, engine: str = SQLITE, *, block: bool) -> Outcome:
    """Measure and return the figures. The case passes when nothing was lost, the throughput holds, no stage takes more
    round trips than its goal or makes calls that cannot be delayed, and no callback of a loop uses too much CPU."""
    checked(engine)
    case = msgspec.structs.replace(CASE, n=asked.n or CASE.n)
    runs: dict[bool, list[Distance]] = {True: [], False: []}
    for number, delayed in enumerate((False, True, True, False)):
        folder = asked.folder / f"{number + 1}-{'with' if delayed else 'without'}"
        counted = folder / "counted"
        counted.mkdir(parents=True)
        delays = Delays(rtt_ms, str(counted), block) if delayed else None
        runs[delayed].append(_Rtt(asked, case, folder, delays, engine).run())
        asked.console.print(f"{folder.name}: {runs[delayed][-1].per_second:,.0f} a second", highlight=False)
    outcome = _outcome(case, rtt_ms, runs[True], runs[False], block=block)
    return outcome._replace(line=outcome.line | {"engine": engine})


def _outcome(case: Case, rtt_ms: float, far: list[Distance], near: list[Distance], *, block: bool) -> Outcome:
    ratio = statistics.mean(run.per_second for run in far) / statistics.mean(run.per_second for run in near)
    beyond = missed(far[-1].stages)
    every = [*far, *near]
    lost = sum(run.balance.lost for run in every)
    errors = [error for run in every for error in run.errors]
    busy = sum((Counter(run.loop_busy) for run in every), Counter[str]())
    beyond += ["ratio"] if ratio < RATIO_MIN else []
    beyond += ["loop_busy"] if blocked(busy) else []
    passed = not beyond and not lost and not errors
    trips = {name: stage.round_trips for name, stage in far[-1].stages.items()}
    line: dict[str, Any] = {
        "case": "rtt",
        "n": case.n,
        "tenants": TENANTS,
        "rtt_ms": rtt_ms,
        "ratio": round(ratio, 3),
        "ratio_min": RATIO_MIN,
        "per_second_with": [round(run.per_second, 1) for run in far],
        "per_second_without": [round(run.per_second, 1) for run in near],
        "cpu_us_with": [round(run.cpu_us, 1) for run in far],
        "cpu_us_without": [round(run.cpu_us, 1) for run in near],
        "round_trips": {name: None if found is None else round(found, 2) for name, found in trips.items()},
        "round_trips_max": GOALS,
        "stages": {name: stage.as_dict() for name, stage in far[-1].stages.items()},
        "loop_busy": dict(busy),
        "undelayed": [] if block else sorted(name for name, stage in far[-1].stages.items() if stage.sync_calls),
        "missed": beyond,
        "errors": errors[:5],
        "lost": lost,
        "duplicates": sum(run.balance.duplicates for run in every),
        "passed": passed,
    }
    return Outcome(line, passed)


class _Rtt:
    """One run in one folder."""

    def __init__(self, asked: BenchRequest, case: Case, folder: Path, delays: Delays | None, engine: str) -> None:
        self._asked = asked
        self._case = case
        self._folder = folder
        self._delays = delays
        self._engine = engine

    def run(self) -> Distance:
        """Start all processes, send the load, and wait until the provider has all of it."""
        simulator = Simulator(self._folder / "simulator")
        try:
            environment = seed_data.environment(simulator.ready, self._asked.workers)
            if self._delays is not None:
                environment[DELAYS_VARIABLE] = msgspec.json.encode(self._delays).decode()
            with (
                opened(self._engine) as store,
                running(System(self._folder, environment | store.settings)) as system,
            ):
                secrets = self._seed_all(system, simulator)
                store.settle()
                return self._measured(system, simulator, secrets)
        finally:
            simulator.stop()

    def _seed_all(self, system: System, simulator: Simulator) -> list[str]:
        """Create all tenants with their seed data and return the secret of each."""

        def one(number: int) -> str:
            secret = seed_data.tenant(system, f"bench-{number:03}")
            client = system.client(secret)
            seed_data.definitions(client, [self._case.channel], [people.BROADCAST_CATEGORY])
            seed_data.provider(client, self._case.channel, simulator.ready)
            seed_data.users(client, USERS_A_TENANT, profiles=False, progress=lambda _done: None)
            return secret

        with ThreadPoolExecutor(CLIENTS) as clients:
            return list(clients.map(one, range(TENANTS)))

    def _measured(self, system: System, simulator: Simulator, secrets: list[str]) -> Distance:
        case = msgspec.structs.replace(self._case, users=USERS_A_TENANT)
        file = simulator.ready.receipts_file
        counted_before, before = self._counted(), system.reading()
        with progress_of(self._asked.console) as progress:
            loaded = Load(case, self._folder, progress).run(system.port, secrets, file)
        ids = [id_ for ack in loaded.acks for id_ in ack.ids]
        wait_while_growing(LineCount(file).read, len(ids), STALL_S)
        simulator.check()
        after, counted = system.reading(), self._counted()
        got = receipts.read(file)
        ended_ns = max((receipt.at_ms for receipt in got), default=0) * NS_A_MS
        received = [f"dlv_{receipt.delivery}" for receipt in got]
        missing = case.n - len(ids)
        errors = loaded.errors + ([f"{missing} notifications were never acknowledged"] if missing else [])
        return Distance(
            per_second=case.n * 1e9 / max(ended_ns - loaded.started_ns, 1),
            cpu_us=split_us(before, after, case.n)["total"],
            balance=balance(ids, received, dict.fromkeys(ids, ("sent",))),
            errors=errors,
            stages=stages(counted_before, counted) if self._delays is not None else {},
            loop_busy=busy_since(before, after),
        )

    def _counted(self) -> list[Counts]:
        """Return the current counts of all processes. Raises `RunError` when there are none."""
        if self._delays is None:
            return []
        time.sleep(COUNTED_S)
        files = sorted(Path(self._delays.folder).glob("*.json"))
        if not files:
            raise RunError("no process counted its calls: is the delay switched on?")
        return [msgspec.json.decode(file.read_bytes(), type=Counts) for file in files]
