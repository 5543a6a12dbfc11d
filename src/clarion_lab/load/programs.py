"""Real processes for a run: the simulator, the load generator, and Clarion itself under its supervisor."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Final

import msgspec
import psutil

from clarion.app.cli.remote import Remote, RequestRefused, Unreachable
from clarion_lab.load.accounting import Reading, busy, facts, stage_cpu_s, tree
from clarion_lab.machine.ports import free_port

HOST: Final = "127.0.0.1"
READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 20.0
CALL_TIMEOUT_S: Final = 120.0
POLL_S: Final = 0.05


class RunError(Exception):
    """The run cannot continue: a process did not start, or an expected event did not happen in time."""


def wait_for(what: str, done: Callable[[], bool], timeout_s: float, poll_s: float = POLL_S) -> None:
    """Return as soon as `done`; raise `RunError` naming `what` after the time-out."""
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise RunError(f"{what}: not within {timeout_s:g} s")
        time.sleep(poll_s)


def wait_while_growing(size: Callable[[], int], goal: int, stall_s: float) -> bool:
    """Return True as soon as `size` reaches the goal, False when it has not grown for `stall_s`."""
    best, since = -1, time.monotonic()
    while (now := size()) < goal:
        if now > best:
            best, since = now, time.monotonic()
        elif time.monotonic() - since > stall_s:
            return False
        time.sleep(POLL_S)
    return True


def end_in_order() -> None:
    """Let SIGTERM end this process through its `finally` blocks, so that no process of the run is left behind."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def clarion(*words: str, python: str = sys.executable) -> list[str]:
    """Return the command line of Clarion's program, run by this interpreter or another one."""
    return [python, "-m", "clarion", *words]


class SimulatorReady(msgspec.Struct, frozen=True):
    """The line that the simulator prints once it listens."""

    base_url: str
    token_url: str
    smtp_host: str
    smtp_port: int
    ca_file: Path
    service_account_file: Path
    receipts_file: Path
    providers_file: Path


class Simulator:
    """A running simulator; `ready` holds its addresses."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._log = (folder.parent / "simulator.log").open("ab")
        command = clarion("simulate", "--folder", str(folder), *options)
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log)  # noqa: S603
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line:
            raise RunError(f"the simulator did not start: see {self._log.name}")
        self.ready = msgspec.json.decode(line, type=SimulatorReady, dec_hook=lambda kind, text: kind(text))

    def cpu_s(self) -> float:
        """Return the CPU seconds it has used."""
        found = facts(psutil.Process(self._process.pid))
        return found.cpu_s if found else 0.0

    def check(self) -> None:
        """Raise `RunError` when it has ended: the result of the run would say nothing about Clarion."""
        if self._process.poll() is not None:
            raise RunError(f"the simulator ended with {self._process.returncode}: see {self._log.name}")

    def stop(self) -> None:
        """Stop it and wait until it has written everything."""
        _end(self._process)
        self._log.close()


class System:
    """`clarion up` on its own data folder, by the interpreter `python`. `environment` overrides the `settings`
    common to all systems, and those that `settings_in` returns for a folder. It has a gateway on request."""

    settings: ClassVar[dict[str, str]] = {}
    settings_in: ClassVar[Callable[[Path], Mapping[str, str]]] = staticmethod(lambda _folder: {})

    def __init__(
        self, folder: Path, environment: Mapping[str, str], python: str = sys.executable, *, with_gateway: bool = False
    ) -> None:
        self.folder = folder
        self._python = python
        self.port = free_port()
        self.gateway_port = free_port() if with_gateway else 0
        own = {"CLARION_DATA_DIR": str(folder / "data"), "CLARION_API_PORT": str(self.port), "CLARION_API_HOST": HOST}
        if with_gateway:  # a setting that earlier releases do not know
            own |= {"CLARION_GATEWAY_PORT": str(self.gateway_port), "CLARION_GATEWAY_HOST": HOST}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLARION_")}
        self.environment: Mapping[str, str] = (
            inherited | own | self.settings | dict(type(self).settings_in(folder)) | dict(environment)
        )
        scheme = "https" if "CLARION_API_TLS_CERTIFICATE_FILE" in self.environment else "http"
        self.url = f"{scheme}://{HOST}:{self.port}"
        self._log = (folder / "clarion.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: dict[int, psutil.Process] = {}

    def start(self) -> None:
        """Start the supervisor."""
        self._process = subprocess.Popen(  # noqa: S603
            clarion("up", python=self._python),
            env=self.environment,
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
        )

    def client(self, secret: str = "", timeout_s: float = CALL_TIMEOUT_S) -> Remote:
        """Return a client of its API."""
        return Remote(self.url, secret, timeout_s)

    def wait_ready(self) -> None:
        """Return when `/readyz` reports ready, of the gateway, too. Raises `RunError` when it ends or is not ready in time."""
        clients = [self.client(timeout_s=2.0)]
        if self.gateway_port:
            clients.append(Remote(f"{self.url.rpartition(':')[0]}:{self.gateway_port}", "", 2.0))

        def ready() -> bool:
            if self._process is not None and self._process.poll() is not None:
                raise RunError(f"clarion up ended with {self._process.returncode}: see {self._log.name}")
            try:
                for client in clients:
                    client.get("/readyz")
            except (RequestRefused, Unreachable):
                return False
            return True

        wait_for("clarion up is ready", ready, READY_TIMEOUT_S)

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Return the living processes by role."""
        found: dict[str, list[psutil.Process]] = {}
        if self._process is not None and self._process.poll() is None:
            for fact in tree(self._process.pid):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process = self._seen.setdefault(fact.pid, psutil.Process(fact.pid))
                    found.setdefault(fact.role, []).append(process)
        return found

    def kill_supervisor(self) -> None:
        """SIGKILL the supervisor alone; its children have to notice."""
        self.processes()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def reading(self) -> Reading:
        """Return the usage of the processes so far."""
        page = self.client().call("GET", "/metrics").decode()
        return Reading(tree(self._process.pid) if self._process else [], stage_cpu_s(page), busy(page))

    def stop(self) -> None:
        """Let the supervisor end, then end the processes that are left."""
        self.processes()
        if self._process is not None:
            _end(self._process)
        for process in self._seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._log.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Terminate a process, kill it after a time-out, and wait for it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


@contextlib.contextmanager
def running(system: System) -> Iterator[System]:
    """Start a system, wait until it is ready, and stop it at the end, also after an error."""
    system.start()
    try:
        system.wait_ready()
        yield system
    finally:
        system.stop()
