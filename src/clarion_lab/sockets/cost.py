"""The bench case `sockets`: what an open connection and a frame cost the gateway, and how long an item takes from its request to
the socket of its user, at a steady rate."""

import subprocess
import sys
import time
from typing import Any, Final, Literal

import msgspec
import psutil
from rich.console import Console

from clarion.app.cli.remote import Remote
from clarion_lab.load import people, seed_data
from clarion_lab.load.accounting import facts
from clarion_lab.load.programs import RunError, System, running
from clarion_lab.sockets.crowd import Got, Job
from clarion_lab.sockets.installation import MANY, tokens

CONNECTIONS: Final = 10_000
FEW: Final = 100
"""Connections that are open when memory is read for the first time: what is made once is there."""
RATE: Final = 1_000
"""Items a second, each for another user."""
SECONDS: Final = 20
_BATCH: Final = 20
_SETTLE_S: Final = 3.0
RSS_KB_MAX: Final = 45.0
CPU_US_MAX: Final = 25.0
P99_MS_MAX: Final = 250.0


class Figures(msgspec.Struct, frozen=True):
    """What was measured."""

    connections: int
    rss_kb_per_connection: float
    cpu_us_per_frame: float
    frames: int
    items: int
    lost: int
    p50_ms: float
    p99_ms: float

    @property
    def passed(self) -> bool:
        """Return whether nothing was lost and no bound missed."""
        whole = self.lost == 0 and self.items == RATE * SECONDS
        return whole and (
            self.rss_kb_per_connection <= RSS_KB_MAX
            and self.cpu_us_per_frame <= CPU_US_MAX
            and self.p99_ms <= P99_MS_MAX
        )

    def line(self) -> dict[str, Any]:
        """Return the fields of the JSON line."""
        bounds = {"rss_kb_per_connection": RSS_KB_MAX, "cpu_us_per_frame": CPU_US_MAX, "p99_ms": P99_MS_MAX}
        return {
            "case": "sockets",
            **msgspec.structs.asdict(self),
            "rate": RATE,
            "bounds": bounds,
            "passed": self.passed,
        }


class Clients:
    """A process with many clients."""

    def __init__(self, port: int, signed: list[str], server: Literal["clarion", "centrifugo"] = "clarion") -> None:
        command = [sys.executable, "-m", "clarion_lab.sockets.crowd"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603
        self._ask(msgspec.json.encode(Job(port, signed, server)))
        if self._answer() != b"ready\n":
            self.end()
            raise RunError("the clients did not connect")

    def got(self) -> Got:
        """Return what came since the last call."""
        self._ask(b"")
        return msgspec.json.decode(self._answer(), type=Got)

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, line: bytes) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()

    def _answer(self) -> bytes:
        return self._process.stdout.readline() if self._process.stdout is not None else b""


def measure(system: System, connections: int, console: Console) -> Figures:
    """Return the figures of a running installation. Raises `RunError`."""
    client = system.client(seed_data.tenant(system))
    seed_data.definitions(client, ["inapp"])
    seed_data.users(client, connections + FEW, profiles=False, progress=lambda _: None)
    users = [people.user_id(number) for number in range(connections + FEW)]
    signed = tokens(system.folder / "data", users)
    (gateway,) = system.processes()["gateway"]
    few = Clients(system.gateway_port, signed[connections:])
    many: Clients | None = None
    try:
        _send(client, users[connections:], 1)
        time.sleep(_SETTLE_S)
        before = gateway.memory_info().rss
        many = Clients(system.gateway_port, signed[:connections])
        time.sleep(_SETTLE_S)
        rss_kb = (gateway.memory_info().rss - before) / 1024 / connections
        console.print(f"{connections} clients are connected, {rss_kb:.1f} KB each", highlight=False)
        many.got()
        cpu_s = _cpu_s(gateway)
        _send(client, users[:connections], SECONDS)
        time.sleep(_SETTLE_S)
        cpu_s = _cpu_s(gateway) - cpu_s
        got = many.got()
    finally:
        few.end()
        if many is not None:
            many.end()
    late = sorted(got.late_us) or [0]
    return Figures(
        connections=connections,
        rss_kb_per_connection=round(rss_kb, 2),
        cpu_us_per_frame=round(cpu_s * 1e6 / max(1, got.frames), 2),
        frames=got.frames,
        items=len(got.late_us),
        lost=got.lost,
        p50_ms=round(late[len(late) // 2] / 1000, 1),
        p99_ms=round(late[int(len(late) * 0.99)] / 1000, 1),
    )


def _cpu_s(process: psutil.Process) -> float:
    found = facts(process)
    if found is None:
        raise RunError("the gateway has ended")
    return found.cpu_s


def _send(client: Remote, users: list[str], seconds: int) -> None:
    """Send items on a schedule, each to the next user."""
    began_s, number = time.monotonic(), 0
    for nr in range(RATE * seconds // _BATCH):
        due_s = began_s + nr * _BATCH / RATE
        if (wait_s := due_s - time.monotonic()) > 0:
            time.sleep(wait_s)
        now = str(time.time_ns())
        data = people.data(1) | {"order": now}
        bodies = [
            {"to": users[(number + at) % len(users)], "template": people.TEMPLATE, "channels": ["inapp"], "data": data}
            for at in range(_BATCH)
        ]
        number += _BATCH
        client.post("/v1/notifications/batch", {"notifications": bodies})


def settings(workers: int, connections: int) -> dict[str, str]:
    """Return the settings of the installation."""
    return {
        "CLARION_OPERATOR_KEY": seed_data.OPERATOR_KEY,
        "CLARION_LOG_LEVEL": "warning",
        "CLARION_WORKERS_COUNT": str(workers),
        "CLARION_GATEWAY_CONNECTIONS_MAX": str(connections + connections // 10 + FEW),
        **MANY,
    }


def cost(system: System, connections: int, console: Console) -> Figures:
    """Start an installation and return its figures. Raises `RunError`."""
    with running(system):
        return measure(system, connections, console)
