"""One chaos run: load and kills at the same time, then recovery and drain, then the oracle's verdict on all
evidence."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import psutil

from clarion.app.cli.remote import Unreachable
from clarion.domain.channel import Channel
from clarion_lab.chaos import ledger as ledgers
from clarion_lab.chaos import store
from clarion_lab.chaos.case import DRAIN_TIMEOUT_S, Case, RunResult, Verdict
from clarion_lab.chaos.drive import Driver
from clarion_lab.chaos.engine import Engine
from clarion_lab.chaos.observe import Observed, Observer
from clarion_lab.chaos.oracle import Account, AcknowledgedRequest, Evidence
from clarion_lab.chaos.schedule import Kill, kills
from clarion_lab.load import receipts, seed_data
from clarion_lab.load.programs import HOST, RunError, Simulator, System, wait_for

LANES: Final = 8
REQUESTS_A_SECOND: Final = 120.0
AT_WORK_S: Final = 1.5
"""The age in seconds at which a process has started and holds its partitions."""
IDLE_S: Final = 5.0
"""Seconds to wait for a victim that has committed something; there may be no work."""
OBSERVE_TRIES: Final = 3
VICTIM_TIMEOUT_S: Final = 30.0
SETTLE_TIMEOUT_S: Final = 120.0
FAULTS: Final = (
    "--latency-ms", "20", "--throttle", "0.02", "--error-500", "0.03", "--accept-then-drop", "0.01", "--fsync",
)  # fmt: skip
QUICK: Final = {
    "CLARION_DELIVER_PASSES_MAX": "20",
    **{f"CLARION_DELIVER_RETRY_PAUSES_MS_{channel.name}": "50,100,200,500,1000" for channel in Channel},
    "CLARION_LEASE_TTL_MS": "1500",
}
"""Settings that make a drain quick; the guarantees do not depend on them."""


class ChaosRun:
    """Kills processes by seed while a client sends requests. `run` returns the verdict."""

    def __init__(
        self,
        folder: Path,
        case: Case,
        engine: Engine,
        kill_count: int,
        seed: int,
        workers: int,
        report: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._case = case
        self._engine = engine
        self._kill_count = kill_count
        self._seed = seed
        self._workers = workers
        self._report = report
        self._ledger_file = folder / "ledger.ndjson"
        self.killed: dict[str, int] = {}
        self.at_work = 0
        self.notes: list[str] = []

    def run(self) -> Verdict:
        """Run and return the verdict. Raises `RunError` when the system did not start or never settled."""
        simulator = Simulator(self._folder / "simulator", "--seed", str(self._seed), *FAULTS, *self._case.simulator)
        system = System(
            self._folder, seed_data.environment(simulator.ready, self._workers, **QUICK, **self._engine.environment)
        )
        try:
            system.start()
            system.wait_ready()
            secret = seed_data.tenant(system)
            client = system.client(secret)
            self._case.seed_data(client, simulator.ready)
            with self._load(system.port, secret, simulator.ready.receipts_file) as driver:
                self._break(system, driver)
                rests = self._case.calm(client, self._account)
            account = self._account()
            self._report(f"{len(account.owed)} acknowledged, {account.refused} refused; draining")
            observer = Observer(client, account.owed)
            if not (rests and observer.drain(DRAIN_TIMEOUT_S)):
                self._report(f"still not drained after {DRAIN_TIMEOUT_S:g} s")
            simulator.check()
            observed = self._observe(observer)
        finally:
            system.stop()
            simulator.stop()
        if account.refused or account.unsettled or account.contradictions:
            raise RunError(
                f"the ledger does not add up: {account.refused} refused, {len(account.unsettled)} never settled, "
                f"{account.contradictions[:3]} answered with different ids"
            )
        outcome = RunResult(
            account, self._ledger_file, simulator.ready.receipts_file, self._engine.stores(self._folder / "data")
        )
        return self._case.judge(_evidence(observed, outcome), observed, outcome)

    def _account(self) -> ledgers.Account:
        return ledgers.add_up(ledgers.read(self._ledger_file))

    def _observe(self, observer: Observer) -> Observed:
        """Return the state in the API. There are no more kills, so an API that does not respond is noted."""
        for _ in range(OBSERVE_TRIES):
            try:
                return observer.observe(self._case.inboxes)
            except Unreachable as error:
                self.notes.append(f"the API did not answer after the last kill: {error.__cause__!r}")
        raise RunError("; ".join(self.notes))

    @contextlib.contextmanager
    def _load(self, port: int, secret: str, receipts_file: Path) -> Iterator[Driver]:
        """Send requests in a separate thread; at the end of the context every request is settled."""
        ledger = ledgers.Ledger(self._ledger_file)
        driver = Driver(HOST, port, secret, ledger, self._case.plans(receipts_file))
        failure: list[BaseException] = []

        def drive() -> None:
            try:
                asyncio.run(driver.run(LANES, REQUESTS_A_SECOND))
            except BaseException as error:  # noqa: BLE001 - raised in the waiting thread
                failure.append(error)

        client = threading.Thread(target=drive, daemon=True)
        client.start()
        yield driver
        driver.stop()
        client.join(SETTLE_TIMEOUT_S)
        ledger.close()
        if failure:
            raise failure[0]
        if client.is_alive():
            raise RunError(f"requests under way were not settled within {SETTLE_TIMEOUT_S:g} s of the last kill")

    def _break(self, system: System, driver: Driver) -> None:
        """Kill processes one by one; return when all kills are done and the system is up again."""
        case = self._case
        victims = {**case.victims, **self._engine.victims}
        schedule = kills(self._seed, self._kill_count, victims, case.working, case.writing)
        for number, kill in enumerate(schedule, 1):
            time.sleep(kill.pause_ms / 1000)
            self._strike(system, kill)
            case.killed(number / self._kill_count)
            self._report(f"kill {number}/{self._kill_count}: {kill.role}, {driver.settled} requests settled")
        case.killed(1.0)
        system.wait_ready()

    def _strike(self, system: System, kill: Kill) -> None:
        """Break the engine or kill a process, whichever is the victim."""
        if kill.role in self._engine.victims:
            self.at_work += self._engine.strike(kill.role, kill.pick)
        else:
            self._kill(system, kill)
        self.killed[kill.role] = self.killed.get(kill.role, 0) + 1

    def _kill(self, system: System, kill: Kill) -> None:
        """Kill a process of the role after waiting until one runs and, if `working`, is at work."""
        victims: list[psutil.Process] = []
        until = time.monotonic() + IDLE_S

        def found() -> bool:
            newest = time.time() - (AT_WORK_S if kill.working else 0.0)
            with contextlib.suppress(psutil.NoSuchProcess):
                alive = [one for one in system.processes().get(kill.role, []) if one.create_time() <= newest]
                if kill.working and time.monotonic() < until:
                    alive = [one for one in alive if self._engine.has_written(one)]
                victims[:] = sorted(alive, key=lambda process: process.pid)
            return bool(victims)

        wait_for(f"a process of role {kill.role} lives", found, VICTIM_TIMEOUT_S)
        if kill.role == "supervisor":
            system.kill_supervisor()
            system.start()
        else:
            victim = victims[int(kill.pick * len(victims))]
            with contextlib.suppress(psutil.NoSuchProcess):
                self.at_work += self._engine.has_written(victim)
                if kill.write_ms is not None:
                    self._engine.await_write(victim)
                    time.sleep(kill.write_ms / 1000)
                victim.kill()


def _evidence(observed: Observed, outcome: RunResult) -> Evidence:
    deliveries = store.read(outcome.stores.state)
    return Evidence(
        acked=[AcknowledgedRequest(id_.partition("_")[2], owed) for id_, owed in outcome.account.owed.items()],
        receipts=receipts.read(outcome.receipts_file),
        accounts=[_with_store(account, deliveries) for account in observed.accounts],
        stored={delivery: story.state for delivery, story in deliveries.items()},
        listed=observed.listed,
        inbox=observed.inbox,
    )


def _with_store(account: Account, deliveries: Mapping[str, store.StoredDelivery]) -> Account:
    """Return an account with the number of ends in the store, if it is higher than that of the API."""
    story = deliveries.get(account.delivery)
    ends = max(account.terminal_events, story.endings if story else 0)
    return msgspec.structs.replace(account, terminal_events=ends)
