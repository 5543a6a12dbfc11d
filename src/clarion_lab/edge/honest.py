"""The honest clients: one that sends single notifications at a constant rate, and one that probes the health of the API.

`python -m clarion_lab.edge.honest SPEC` reads an `HonestSpec` (JSON), prints a line when it has begun, and goes on until
its input ends. It then waits for the responses under way and writes an `HonestResult` (JSON) to `spec.out`. A request
has an intended time, from which its latency is counted; a late response counts as none. Nothing is repeated: whatever
is not a 202 is an error.
"""

import asyncio
import ssl
import sys
import time
from collections import deque
from collections.abc import Coroutine
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

from clarion_lab.edge.dialogue import READY, say
from clarion_lab.load.generator import read_ids
from clarion_lab.load.http1 import Connection, WireError, connect, request_bytes

ANSWER_S_MAX: Final = 5.0
"""Seconds that a sender waits for a response."""
PROBE_S_MAX: Final = 2.0
"""Seconds that a probe waits for its connection and its response."""
CONNECTIONS: Final = 16
PROBES_A_SECOND: Final = 5.0
PROBED: Final = ("/healthz", "/readyz")
NS: Final = 1_000_000_000


class HonestSpec(msgspec.Struct, frozen=True):
    """The load: bodies of single notifications, one a line of a file, used in rotation, with the key of a tenant.
    `ca_file` is the CA of a server with TLS, empty for one without."""

    host: str
    port: int
    secret: str
    bodies: str
    rate: float
    out: str
    ca_file: str = ""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """A request: its intended time and its latency in nanoseconds, the id of its notification, and the reason why it
    counts as an error, which is empty for a success."""

    at_ns: int
    took_ns: int
    id: str
    error: str


class HonestResult(msgspec.Struct, frozen=True):
    """All notifications, and all probes."""

    notifications: list[Sample]
    probes: list[Sample]


def client_tls(ca_file: str) -> ssl.SSLContext | None:
    """Return the TLS settings of a client that trusts a CA, None without one."""
    return ssl.create_default_context(cafile=ca_file) if ca_file else None


class Honest:
    """Both clients."""

    def __init__(self, spec: HonestSpec) -> None:
        self._spec = spec
        host = f"{spec.host}:{spec.port}"
        lines = Path(spec.bodies).read_bytes().splitlines()
        self._requests = cycle(request_bytes("POST", "/v1/notifications", host, spec.secret, line) for line in lines)
        self._probes = cycle(request_bytes("GET", path, host, "", b"") for path in PROBED)
        self._tls = client_tls(spec.ca_file)
        self._idle: deque[Connection] = deque()
        self._result = HonestResult([], [])

    async def run(self, ended: asyncio.Event) -> HonestResult:
        """Send until the event is set, and return what happened."""
        for _ in range(CONNECTIONS):
            self._idle.append(await connect(self._spec.host, self._spec.port, self._tls))
        say(READY)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._open_loop(group, self._spec.rate, self._notify, ended))
            group.create_task(self._open_loop(group, PROBES_A_SECOND, self._probe, ended))
        return self._result

    async def _open_loop(self, group: asyncio.TaskGroup, rate: float, send: Any, ended: asyncio.Event) -> None:
        started_ns, number = time.time_ns(), 0
        while not ended.is_set():
            intended_ns = started_ns + int(number * NS / rate)
            ahead_ns = intended_ns - time.time_ns()
            if ahead_ns > 0:
                await asyncio.sleep(ahead_ns / NS)
            group.create_task(send(intended_ns))
            number += 1

    async def _notify(self, intended_ns: int) -> None:
        id_, error = "", ""
        connection = self._idle.popleft() if self._idle else None
        try:
            async with asyncio.timeout(ANSWER_S_MAX - (time.time_ns() - intended_ns) / NS):
                if connection is None or not connection.open:
                    connection = await connect(self._spec.host, self._spec.port, self._tls)
                answer = await connection.request(next(self._requests))
            found = read_ids(answer, batch=False)
            id_, error = ("", f"{answer.status}: {answer.body[:200]!r}") if found is None else (found[0], "")
            self._idle.append(connection)
        except (WireError, TimeoutError) as failure:
            error = f"{type(failure).__name__}: {failure}"
            if connection is not None:
                connection.close()
        self._result.notifications.append(Sample(intended_ns, time.time_ns() - intended_ns, id_, error))

    async def _probe(self, intended_ns: int) -> None:
        """Probe on a connection of its own, as most probes do, so that accepting connections is probed, too."""
        error, connection = "", None
        try:
            async with asyncio.timeout(PROBE_S_MAX):
                connection = await connect(self._spec.host, self._spec.port, self._tls)
                answer = await connection.request(next(self._probes))
            error = "" if answer.status == 200 else f"{answer.status}: {answer.body[:200]!r}"
        except (WireError, TimeoutError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        if connection is not None:
            connection.close()
        self._result.probes.append(Sample(intended_ns, time.time_ns() - intended_ns, "", error))


async def _until_input_ends(run: Coroutine[Any, Any, HonestResult], ended: asyncio.Event) -> HonestResult:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run)
        await asyncio.to_thread(sys.stdin.read)
        ended.set()
    return running.result()


async def _run(spec: HonestSpec) -> HonestResult:
    ended = asyncio.Event()
    return await _until_input_ends(Honest(spec).run(ended), ended)


def main() -> None:
    """Run the spec given on the command line."""
    spec = msgspec.json.decode(sys.argv[1], type=HonestSpec)
    Path(spec.out).write_bytes(msgspec.json.encode(uvloop.run(_run(spec))))


if __name__ == "__main__":
    main()
