"""One run of the chaos case `edge`: an installation with its default settings under an honest load, and the attacks in
turn. After each attack, harmless processes take as much CPU as the attacker and the attacked API did."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import psutil

from clarion.app.cli.remote import CA_FILE_VARIABLE, RequestRefused, Unreachable
from clarion_lab.edge import offers, verdict
from clarion_lab.edge.attacker import AttackResult, AttackSpec
from clarion_lab.edge.attacks import OPEN, TLS, Attack
from clarion_lab.edge.connections import CONNECTIONS_MANY, ConnectionsResult, ConnectionsSpec
from clarion_lab.edge.dialogue import READY
from clarion_lab.edge.honest import HonestResult, HonestSpec, Sample
from clarion_lab.edge.metrics import stretches
from clarion_lab.edge.verdict import AttackFigures, Figures, Landed
from clarion_lab.load import people, receipts, seed_data
from clarion_lab.load.accounting import facts
from clarion_lab.load.growth import LineCount
from clarion_lab.load.programs import HOST, RunError, Simulator, System, running, wait_while_growing
from clarion_lab.simulate.certificates import identity

RATE: Final = 200.0
USERS: Final = 1_000
DEFAULT_WORKERS: Final = 0
"""As many as there are cores."""
CHANNEL: Final = "push"
WARM_UP_S: Final = 4.0
QUIET_S: Final = 5.0
"""Seconds without an attack in which the API's own share of CPU is measured."""
ATTACK_S: Final = 4.0
AFTER_S: Final = 1.0
"""Seconds after an attack that count as part of it: its connections are closed then."""
CALM_S: Final = 3.0
EXIT_S_MAX: Final = 30.0
CONNECTIONS_S_MAX: Final = 90.0
CONNECTIONS_ADDRESS: Final = "127.0.1.1"
"""Where the clients of `connections_many` are: nobody else is there."""
RECOVER_S_MAX: Final = 20.0
RECOVERED_S: Final = 0.5
"""The time in which each of `RECOVERED_PROBES` has to be answered."""
RECOVERED_PROBES: Final = 3
RECOVER_PAUSE_S: Final = 0.05
METRICS_S_MAX: Final = 10.0
UNANSWERED: Final = "unanswered"
WATCH_S: Final = 0.1
STALL_S: Final = 20.0
ATTACKER_TENANT: Final = "attacker"
API: Final = "api"
MIB: Final = verdict.MIB


class Phase(NamedTuple):
    """What was measured during an attack and in the calm phase after it. Times are Unix nanoseconds."""

    attack: Attack
    result: AttackResult
    from_ns: int
    to_ns: int
    calm_to_ns: int
    api_cpu: float
    rss_peak: int
    rss_before: int
    opened: int
    lag_ms: float
    lag_by: str

    @property
    def landed(self) -> Landed:
        """Return what reached the server. Of connections that send nothing, the server's open files are counted."""
        of, counts = self.attack.of, self.result.landed
        number = self.opened + counts.get("closed", 0) if of == OPEN else counts.get(of, 0)
        return Landed(number, self.attack.floor)


class ApiWatch:
    """Watches the API process from outside. `peak_bytes` is the most resident memory, and `files_peak` the most
    open files, since the last `begin`."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.process = _api(system)
        self.peak_bytes = self.files_peak = 0
        self._stretches: dict[str, dict[float, int]] = {}
        self._thread.start()

    @property
    def rss_bytes(self) -> int:
        """Return its resident memory."""
        return int(self.process.memory_info().rss)

    @property
    def uss_mb(self) -> float:
        """Return the memory that it shares with no other process, in MiB."""
        return float(self.process.memory_full_info().uss) / MIB

    def cpu_s(self) -> float:
        """Return the CPU seconds it has used. Raises `RunError` when it has ended."""
        found = facts(self.process)
        if found is None:
            raise RunError("the API process has ended")
        return found.cpu_s

    def lag_ms(self) -> tuple[float, str]:
        """Return the longest stretch on its event loop since the last call, in milliseconds, and its cause. An API that
        does not respond in time has been busy for that time."""
        try:
            page = self._system.client(timeout_s=METRICS_S_MAX).call("GET", "/metrics")
        except (RequestRefused, Unreachable):
            return METRICS_S_MAX * 1000, UNANSWERED
        before, self._stretches = self._stretches, stretches(page.decode(), API)
        return verdict.lag_ms(before, self._stretches)

    def recover(self) -> None:
        """Wait until the API responds to probes as usual again, at most `RECOVER_S_MAX`: what an attack leaves behind
        is part of it, and a calm phase is calm."""
        client = self._system.client(timeout_s=RECOVERED_S)
        until_s, quick = time.monotonic() + RECOVER_S_MAX, 0
        while quick < RECOVERED_PROBES and time.monotonic() < until_s:
            try:
                client.get("/healthz")
                quick += 1
            except (RequestRefused, Unreachable):
                quick = 0
            time.sleep(RECOVER_PAUSE_S)

    def restarts(self) -> int:
        """Return whether the API process is another one now."""
        return int(_api(self._system).pid != self.process.pid)

    def begin(self) -> tuple[int, int]:
        """Return the resident memory and the number of open files, and begin new peaks."""
        self.peak_bytes, self.files_peak = before = self.rss_bytes, self.process.num_fds()
        return before

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(WATCH_S):
            with contextlib.suppress(psutil.Error):
                self.peak_bytes = max(self.peak_bytes, self.rss_bytes)
                self.files_peak = max(self.files_peak, self.process.num_fds())


class EdgeRun:
    """Runs attacks against one installation, all of which need the same of it: TLS or plain HTTP (`needs`). With `many`,
    `connections_many` follows. `run` returns the figures; `errors` are the reasons of all errors of honest clients then."""

    def __init__(
        self, folder: Path, needs: str, attacks: Sequence[Attack], report: Callable[[str], None], *, many: bool
    ) -> None:
        self._folder = folder
        self._needs = needs
        self._attacks = attacks
        self._many = many
        self._tls = identity(folder / "tls", HOST) if needs == TLS else None
        self._ca_file = "" if self._tls is None else str(self._tls.ca_file)
        self._report = report
        self.errors: list[str] = []

    def run(self) -> Figures:
        """Run. Raises `RunError` when the installation did not start, or the API process has ended."""
        simulator = Simulator(self._folder / "simulator")
        try:
            system = System(
                self._folder, seed_data.environment(simulator.ready, DEFAULT_WORKERS) | self._tls_settings()
            )
            with running(system):
                secret = self._seed_data(system, simulator)
                return self._measure(system, simulator, secret)
        finally:
            simulator.stop()

    def _tls_settings(self) -> dict[str, str]:
        files = self._tls
        if files is None:
            return {}
        os.environ[CA_FILE_VARIABLE] = str(files.ca_file)  # for the calls of this process
        return {
            "CLARION_API_TLS_CERTIFICATE_FILE": str(files.certificate_file),
            "CLARION_API_TLS_KEY_FILE": str(files.key_file),
        }

    def _seed_data(self, system: System, simulator: Simulator) -> str:
        secret = seed_data.tenant(system)
        client = system.client(secret)
        seed_data.definitions(client, [CHANNEL])
        seed_data.provider(client, CHANNEL, simulator.ready)
        seed_data.users(client, USERS, profiles=False, progress=lambda _: None)
        return secret

    def _measure(self, system: System, simulator: Simulator, secret: str) -> Figures:
        attacker = seed_data.tenant(system, ATTACKER_TENANT)
        offered = offers.offered(HOST, system.port)
        if offered != self._needs:
            raise RunError(f"the installation offers {offered}, and the attacks need {self._needs}")
        phases: list[Phase] = []
        watch = ApiWatch(system)
        try:
            with _honest(self._folder, system.port, secret, self._ca_file) as out:
                self._report("warming up")
                time.sleep(WARM_UP_S)
                began_s, used_s = time.monotonic(), watch.cpu_s()
                time.sleep(QUIET_S)
                base = (watch.cpu_s() - used_s) / (time.monotonic() - began_s)
                watch.lag_ms()
                rss_before, uss_before = watch.rss_bytes, watch.uss_mb
                for number, attack in enumerate(self._attacks, 1):
                    self._report(f"attack {number}/{len(self._attacks)}: {attack.name}")
                    phases.append(_phase(attack, number, system.port, attacker, watch, base))
                rss_after, uss_after = watch.rss_bytes, watch.uss_mb
                connections = self._connections(system.port, secret)
                restarts = watch.restarts()
        finally:
            watch.stop()
        result = msgspec.json.decode(out.read_bytes(), type=HonestResult)
        self._report("waiting for the last messages")
        lost = self._lost(result.notifications, simulator)
        peak = max([rss_before, *(phase.rss_peak for phase in phases)])
        rss_mb = (rss_before / MIB, peak / MIB, rss_after / MIB)
        return self._figures(phases, result, connections, len(lost), restarts, rss_mb, (uss_before, uss_after))

    def _connections(self, port: int, secret: str) -> list[Sample]:
        """Let the clients of `connections_many` connect, beside the other honest ones."""
        if not self._many:
            return []
        self._report(CONNECTIONS_MANY)
        spec = ConnectionsSpec(HOST, port, CONNECTIONS_ADDRESS, secret, ca_file=self._ca_file)
        with _program("connections", msgspec.json.encode(spec).decode()) as clients:
            printed, _ = clients.communicate("\n", timeout=CONNECTIONS_S_MAX)
        if clients.returncode:
            raise RunError(f"the clients of {CONNECTIONS_MANY} ended with {clients.returncode}")
        return msgspec.json.decode(printed, type=ConnectionsResult).samples

    def _lost(self, samples: Sequence[Sample], simulator: Simulator) -> list[str]:
        acknowledged = [sample.id for sample in samples if sample.id]
        file = simulator.ready.receipts_file
        wait_while_growing(LineCount(file).read, len(acknowledged), STALL_S)
        simulator.check()
        return verdict.lost(acknowledged, [receipt.delivery for receipt in receipts.read(file)])

    def _figures(
        self,
        phases: Sequence[Phase],
        result: HonestResult,
        connections: Sequence[Sample],
        lost: int,
        restarts: int,
        rss_mb: tuple[float, float, float],
        uss_mb: tuple[float, float],
    ) -> Figures:
        sent, probes = result.notifications, result.probes
        attacked = [sample for phase in phases for sample in verdict.between(sent, phase.from_ns, phase.to_ns)]
        calm = [sample for phase in phases for sample in verdict.between(sent, phase.to_ns, phase.calm_to_ns)]
        probed = [sample for phase in phases for sample in verdict.between(probes, phase.from_ns, phase.to_ns)]
        unanswered = verdict.errors(connections)
        self.errors = verdict.errors(sent) + verdict.errors(probes) + unanswered
        return Figures(
            attacks=[_attack_figures(phase, sent, probes) for phase in phases],
            honest=len(sent) + len(connections),
            connections=len(connections),
            connections_answered=len(connections) - len(unanswered),
            lost=lost,
            restarts=restarts,
            rss_mb=rss_mb,
            uss_mb=uss_mb,
            loop_lag_by=max(phases, key=lambda phase: phase.lag_ms).lag_by if phases else "",
            p99_ms=verdict.p99_ms(attacked),
            calm_p99_ms=verdict.p99_ms(calm),
            probe_p99_ms=verdict.p99_ms(probed),
            honest_errors=len(verdict.errors(sent)) + len(unanswered),
            health_failures=len(verdict.errors(probes)),
        )


def _attack_figures(phase: Phase, sent: Sequence[Sample], probes: Sequence[Sample]) -> AttackFigures:
    under = verdict.between(sent, phase.from_ns, phase.to_ns)
    probed = verdict.between(probes, phase.from_ns, phase.to_ns)
    return AttackFigures(
        name=phase.attack.name,
        landed=phase.landed,
        statuses=phase.result.statuses,
        attacker_cpu=phase.result.cpu_s / ATTACK_S,
        api_cpu=phase.api_cpu,
        rss_mb_growth=round((phase.rss_peak - phase.rss_before) / MIB, 1),
        loop_lag_ms=phase.lag_ms,
        p99_ms=verdict.p99_ms(under),
        calm_p99_ms=verdict.p99_ms(verdict.between(sent, phase.to_ns, phase.calm_to_ns)),
        probe_p99_ms=verdict.p99_ms(probed),
        honest_errors=len(verdict.errors(under)),
        health_failures=len(verdict.errors(probed)),
    )


def _phase(attack: Attack, number: int, port: int, secret: str, watch: ApiWatch, base: float) -> Phase:
    """Attack, then take the same CPU harmlessly. `base` is the API's own share of CPU without an attack."""
    spec = AttackSpec(attack.name, HOST, port, f"127.0.0.{number + 1}", ATTACK_S, secret)
    rss_before, files_before = watch.begin()
    with _attacker(spec) as attacker:
        from_ns, used_s = time.time_ns(), watch.cpu_s()
        printed, _ = attacker.communicate("\n", timeout=ATTACK_S + EXIT_S_MAX)
    if attacker.returncode:
        raise RunError(f"the attacker {attack.name} ended with {attacker.returncode}")
    result = msgspec.json.decode(printed, type=AttackResult)
    api_cpu = (watch.cpu_s() - used_s) / ((time.time_ns() - from_ns) / 1e9)
    time.sleep(AFTER_S)
    watch.recover()
    lag_ms, lag_by = watch.lag_ms()
    to_ns, rss_peak, opened = time.time_ns(), watch.peak_bytes, watch.files_peak - files_before
    with _burners([result.cpu_s / ATTACK_S, max(0.0, api_cpu - base)]):
        time.sleep(CALM_S)
        calm_to_ns = time.time_ns()
    return Phase(attack, result, from_ns, to_ns, calm_to_ns, api_cpu, rss_peak, rss_before, opened, lag_ms, lag_by)


@contextlib.contextmanager
def _attacker(spec: AttackSpec) -> Iterator["subprocess.Popen[str]"]:
    """Start an attacker; it is ready to attack."""
    with _program("attacker", msgspec.json.encode(spec).decode()) as process:
        yield process


@contextlib.contextmanager
def _burners(shares: Sequence[float]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for share in shares:
            command = [sys.executable, "-m", "clarion_lab.edge.burner", f"{min(share, 1.0):.3f}"]
            process = subprocess.Popen(command)  # noqa: S603
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


@contextlib.contextmanager
def _honest(folder: Path, port: int, secret: str, ca_file: str) -> Iterator[Path]:
    """Run the honest clients; their result is in the file at the end of the context."""
    bodies, out = folder / "bodies.ndjson", folder / "honest.json"
    bodies.write_bytes(b"\n".join(people.bodies(USERS, 1, USERS, CHANNEL)))
    spec = HonestSpec(HOST, port, secret, str(bodies), RATE, str(out), ca_file)
    with _program("honest", msgspec.json.encode(spec).decode()) as process:
        yield out
        process.communicate(timeout=EXIT_S_MAX)
    if process.returncode:
        raise RunError(f"the honest clients ended with {process.returncode}")


@contextlib.contextmanager
def _program(name: str, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a program of this package that prints a line when it is ready, and end it if it is still there."""
    command = [sys.executable, "-m", f"clarion_lab.edge.{name}", *words]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        if process.stdout is None or not process.stdout.readline().startswith(READY):
            raise RunError(f"clarion_lab.edge.{name} did not start")
        yield process
    finally:
        process.kill()
        process.wait()


def _api(system: System) -> psutil.Process:
    found = system.processes().get(API)
    if not found:
        raise RunError("there is no API process")
    return found[0]
