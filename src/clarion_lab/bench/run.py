"""One run: starts all processes, creates seed data, sends the load, waits until all deliveries are terminal, and
reconciles."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
from rich.progress import Progress

from clarion.app.cli.remote import Remote
from clarion_lab.bench.cases import Case
from clarion_lab.bench.figures import Figures
from clarion_lab.bench.reconcile import TERMINAL, Balance, balance, notification_of, percentile_ms
from clarion_lab.bench.stores import SQLITE, Store, opened
from clarion_lab.load import people, receipts, seed_data
from clarion_lab.load.accounting import busy_since, split_us
from clarion_lab.load.generator import LoadResult, LoadSpec
from clarion_lab.load.growth import LineCount
from clarion_lab.load.product import Product
from clarion_lab.load.programs import HOST, RunError, Simulator, System, running, wait_for, wait_while_growing

DRAIN_TIMEOUT_S: Final = 300.0
STALL_S: Final = 45.0
TAIL: Final = 16
"""Notifications that are polled one by one to detect the end."""
DISTINCT_REQUESTS_MAX: Final = 1_000
SAMPLE: Final = 64
"""Users whose inboxes are read after a broadcast."""
NS_A_MS: Final = 1_000_000


class Load:
    """The load of one case: its bodies, and the generator that sends them."""

    def __init__(self, case: Case, folder: Path, progress: Progress) -> None:
        self._case = case
        self._folder = folder
        self._progress = progress

    def run(self, port: int, secrets: list[str], receipts_file: Path) -> LoadResult:
        """Run the load generator to its end, with the secrets in rotation, and return its result. Raises `RunError`
        when it fails."""
        case = self._case
        spec = self._spec(port, secrets, receipts_file)
        spec_file = self._folder / "load-spec.json"
        spec_file.write_bytes(msgspec.json.encode(spec))
        command = [sys.executable, "-m", "clarion_lab.load.generator", str(spec_file)]
        task = self._progress.add_task("sent" if case.provider else "load", total=case.n)
        lines = LineCount(receipts_file)
        with subprocess.Popen(command) as process:  # noqa: S603
            while process.poll() is None:
                self._progress.update(task, completed=lines.read())
                time.sleep(0.25)
        if process.returncode:
            raise RunError(f"the load generator ended with {process.returncode}")
        return msgspec.json.decode(Path(spec.out).read_bytes(), type=LoadResult)

    def _spec(self, port: int, secrets: list[str], receipts_file: Path) -> LoadSpec:
        case = self._case
        bodies = self._folder / "bodies.ndjson"
        # Messages without a delivery id are distinguished by their text.
        distinct = min(case.requests, DISTINCT_REQUESTS_MAX) if case.named else case.requests
        bodies.write_bytes(b"\n".join(people.bodies(distinct, case.items, case.users, case.channel)))
        return LoadSpec(
            host=HOST,
            port=port,
            path="/v1/notifications" if case.items == 1 else "/v1/notifications/batch",
            secrets=secrets,
            bodies=str(bodies),
            items=case.items,
            requests=case.requests,
            connections=case.connections,
            out=str(self._folder / "load.json"),
            rate=case.rate,
            receipts=str(receipts_file) if case.provider else None,
        )


class Run:
    """One case in one folder. `run` returns its figures and raises `RunError` when it could not be measured."""

    def __init__(
        self,
        case: Case,
        folder: Path,
        workers: int,
        progress: Progress,
        dkim: str = "",
        product: Product | None = None,
        engine: str = SQLITE,
    ) -> None:
        self._case = case
        self._dkim = dkim
        self._folder = folder
        self._workers = workers
        self._progress = progress
        self._product = product
        self._engine = engine
        self._store = Store({})

    def run(self) -> Figures:
        """Measure."""
        simulator = Simulator(self._folder / "simulator")
        try:
            product = self._product.environment if self._product else {}
            settings = seed_data.environment(simulator.ready, self._workers) | product
            with (
                opened(self._engine) as self._store,
                running(System(self._folder, settings | self._store.settings)) as system,
            ):
                self._verify(system)
                secret = self._seed_data(system, simulator)
                self._store.settle()
                measure = self._broadcast if self._case.items == 0 else self._requests
                figures = measure(system, simulator, secret)
                self._verify(system)
                return figures
        finally:
            simulator.stop()

    def _verify(self, system: System) -> None:
        if self._product is not None:
            self._product.verify(process for role in system.processes().values() for process in role)

    def _seed_data(self, system: System, simulator: Simulator) -> str:
        case = self._case
        secret = seed_data.tenant(system)
        client = system.client(secret)
        seed_data.definitions(client, [case.channel])
        seed_data.provider(client, case.channel, simulator.ready, case.vendor, self._dkim)
        vendor = case.vendor or seed_data.VENDORS.get(case.channel, "")
        task = self._progress.add_task("users", total=case.users)
        seed_data.users(
            client,
            case.users,
            profiles=case.profiles,
            progress=lambda done: self._progress.update(task, completed=done),
            reach=seed_data.reach(simulator.ready, vendor) if vendor else None,
        )
        return secret

    def _requests(self, system: System, simulator: Simulator, secret: str) -> Figures:
        """Return the figures of notifications sent request by request."""
        case = self._case
        client = system.client(secret)
        before, simulator_before, server_before = system.reading(), simulator.cpu_s(), self._store.cpu_s()
        loaded = Load(case, self._folder, self._progress).run(system.port, [secret], simulator.ready.receipts_file)
        ids = [id_ for ack in loaded.acks for id_ in ack.ids]
        self._settle(client, ids, simulator.ready.receipts_file)
        simulator.check()
        after, simulator_after, ended_ns = system.reading(), simulator.cpu_s(), time.time_ns()
        server_after = self._store.cpu_s()
        states = {item["id"]: [d["state"] for d in item["deliveries"]] for item in self._listed(client, ids)}
        got = receipts.read(simulator.ready.receipts_file)
        if case.provider:
            ended_ns = max((receipt.at_ms for receipt in got), default=0) * NS_A_MS
        elif case.name.startswith("accept"):
            ended_ns = loaded.ended_ns
        waits_ns = _waits_ns(loaded, got if case.provider else None) if case.named else []
        received = [f"dlv_{receipt.delivery}" for receipt in got] if case.provider else None
        missing = case.n - len(ids)
        found = balance(ids, received, states, named=case.named)
        return Figures(
            case=f"{case.name}-dkim-{self._dkim}" if self._dkim else case.name,
            n=case.n,
            seconds=(ended_ns - loaded.started_ns) / 1e9,
            cpu_us=split_us(before, after, case.n),
            simulator_cpu_us=(simulator_after - simulator_before) * 1e6 / case.n,
            p50_ms=percentile_ms(waits_ns, 0.5),
            p99_ms=percentile_ms(waits_ns, 0.99),
            rss_mb=after.peak_mb,
            balance=found,
            loop_busy=busy_since(before, after),
            generator_cpu_us=loaded.cpu_s * 1e6 / case.n,
            server_cpu_us=(server_after - server_before) * 1e6 / case.n,
            held=loaded.held,
            errors=loaded.errors + ([f"{missing} notifications were never acknowledged"] if missing else []),
        )

    def _broadcast(self, system: System, simulator: Simulator, secret: str) -> Figures:
        """Return the figures of one broadcast to all users."""
        case = self._case
        skipped = sum(map(people.opted_out, range(case.users))) if case.channel == "inapp" else 0
        due = case.users - skipped
        body = {
            "audience": {"all": True},
            "template": people.TEMPLATE,
            "channels": [case.channel],
            "category": people.BROADCAST_CATEGORY,
            "data": people.data(1),
        }
        client = system.client(secret)
        before, simulator_before, started_ns = system.reading(), simulator.cpu_s(), time.time_ns()
        server_before = self._store.cpu_s()
        made = client.post("/v1/broadcasts", body)
        counts = self._follow(client, made["id"], case.users)
        ended_ns, after, simulator_after = time.time_ns(), system.reading(), simulator.cpu_s()
        server_after = self._store.cpu_s()
        got = [receipt.delivery for receipt in receipts.read(simulator.ready.receipts_file)]
        arrived = len(set(got)) if case.provider else counts["sent"]
        unreadable = self._unreadable(client) if case.channel == "inapp" else 0
        found = Balance(
            lost=max(due - min(arrived, counts["sent"]), 0) + unreadable,
            duplicates=len(got) - len(set(got)),
            unfinished=counts["open"],
            failed=counts["failed"] + abs(counts["skipped"] - skipped),
        )
        return Figures(
            case=case.name,
            n=due,
            seconds=(ended_ns - started_ns) / 1e9,
            cpu_us=split_us(before, after, due),
            simulator_cpu_us=(simulator_after - simulator_before) * 1e6 / due,
            p50_ms=None,
            p99_ms=None,
            rss_mb=after.peak_mb,
            balance=found,
            loop_busy=busy_since(before, after),
            server_cpu_us=(server_after - server_before) * 1e6 / due,
        )

    def _settle(self, client: Remote, ids: list[str], receipts_file: Path) -> None:
        """Wait until the provider has all messages and the last notifications are recorded as finished. If the provider
        gets no more messages, the reconciliation reports the missing ones."""
        lines = LineCount(receipts_file)
        if self._case.provider and not wait_while_growing(lines.read, len(ids), STALL_S):
            return
        open_ = ids[-TAIL:]

        def ended() -> bool:
            while open_ and _rests(client, open_[-1]):
                open_.pop()
            return not open_

        wait_for("the last notifications came to their end", ended, DRAIN_TIMEOUT_S)

    def _listed(self, client: Remote, ids: list[str]) -> Iterator[dict[str, Any]]:
        """Yield every acknowledged notification that the API lists."""
        wanted = {notification_of(id_) for id_ in ids}
        task = self._progress.add_task("reconciled", total=len(wanted))
        for item in client.pages("/v1/notifications"):
            if notification_of(item["id"]) in wanted:
                self._progress.advance(task)
                yield item

    def _follow(self, client: Remote, id_: str, total: int) -> dict[str, int]:
        """Wait until a broadcast is done and folded; return the number of its deliveries by end."""
        task = self._progress.add_task("broadcast", total=total)
        counts: dict[str, int] = {}

        def done() -> bool:
            nonlocal counts
            progress = client.get(f"/v1/broadcasts/{id_}")
            counts = _by_end(progress)
            self._progress.update(task, completed=sum(counts.values()) - counts["open"])
            return progress["status"] == "done" and counts["open"] == 0 and sum(counts.values()) >= total

        wait_for("the broadcast is done", done, DRAIN_TIMEOUT_S, poll_s=0.1)
        return counts

    def _unreadable(self, client: Remote) -> int:
        """Return the number of users of a sample whose inbox lacks the broadcast or has it against their
        preferences."""
        wrong = 0
        for number in range(0, self._case.users, max(1, self._case.users // SAMPLE)):
            token = client.post(f"/v1/users/{people.user_id(number)}/tokens", {})["token"]
            shown = client.with_credential(token).get("/v1/inbox")["data"]
            wrong += bool(shown) is people.opted_out(number)
        return wrong


def _rests(client: Remote, id_: str) -> bool:
    deliveries = client.get(f"/v1/notifications/{id_}")["deliveries"]
    return bool(deliveries) and all(delivery["state"] in TERMINAL for delivery in deliveries)


def _by_end(progress: dict[str, Any]) -> dict[str, int]:
    """Return the number of deliveries of a broadcast as `sent`, `skipped`, `failed` (any other end) and `open`."""
    counts = {"sent": 0, "skipped": 0, "failed": 0, "open": 0}
    for state, count in progress["states"].items():
        name = {"sent": "sent", "delivered": "sent", "skipped": "skipped"}.get(state)
        counts[name or ("failed" if state in TERMINAL else "open")] += count
    return counts


def _waits_ns(loaded: LoadResult, got: list[receipts.Receipt] | None) -> list[int]:
    """Return the latency (ns) of each notification from its intended time to the provider, or to the API's response."""
    if got is None:
        return [ack.answered_ns - ack.intended_ns for ack in loaded.acks for _ in ack.ids]
    arrived = {receipt.delivery[:32]: receipt.at_ms * NS_A_MS for receipt in reversed(got)}
    intended = {notification_of(id_): ack.intended_ns for ack in loaded.acks for id_ in ack.ids}
    return [max(0, arrived[id_] - at_ns) for id_, at_ns in intended.items() if id_ in arrived]
