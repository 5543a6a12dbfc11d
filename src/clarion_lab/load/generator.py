"""The load generator: a separate process, so that its CPU time is not counted as Clarion's.

`python -m clarion_lab.load.generator SPEC` reads a `LoadSpec` (JSON), sends prebuilt bodies over keep-alive
connections and writes a `LoadResult` (JSON) to `spec.out`. Closed loop without a rate: as many requests in flight as there are
connections, held back while the provider is `backlog_max` notifications behind. Open loop with a rate: every request has
an intended time, and is late rather than skipped. 429 and 503 are respected and the request is repeated.
"""

import asyncio
import sys
import time
from collections import deque
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any, Final

import msgspec
import uvloop

from clarion_lab.load.growth import LineCount
from clarion_lab.load.http1 import Answer, Connection, WireError, connect, request_bytes

RETRY_AFTER_S_DEFAULT: Final = 0.2
RETRY_AFTER_S_MAX: Final = 5.0
BACKLOG_POLL_S: Final = 0.02
CONNECTIONS_OPEN_LOOP_MAX: Final = 256
NS: Final = 1_000_000_000


class LoadSpec(msgspec.Struct, frozen=True):
    """The load to send. `bodies` is a file of JSON bodies, one a line, used in rotation; each holds `items`
    notifications. The secrets are used in rotation, too; with several, the number of bodies must be a multiple of
    theirs. `receipts` is the provider's file (one line a call), None when no request is held back."""

    host: str
    port: int
    path: str
    secrets: list[str]
    bodies: str
    items: int
    requests: int
    connections: int
    out: str
    rate: float | None = None
    receipts: str | None = None
    backlog_max: int = 8_000


class Ack(msgspec.Struct, frozen=True, array_like=True):
    """An acknowledged request: its intended time, the time of the response (Unix nanoseconds), and the ids in it."""

    intended_ns: int
    answered_ns: int
    ids: list[str]


class LoadResult(msgspec.Struct, frozen=True):
    """The result of a load. `held` counts 429/503 responses, `errors` requests that ended without an
    acknowledgement."""

    started_ns: int
    ended_ns: int
    cpu_s: float
    held: int
    errors: list[str]
    acks: list[Ack]


class _Result(msgspec.Struct):
    id: str | None = None
    error: Any = None


class _Batch(msgspec.Struct):
    results: list[_Result]


class Generator:
    """Sends one spec's requests and stores raw responses; they are decoded only after the last one arrived."""

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec
        host = f"{spec.host}:{spec.port}"
        lines = Path(spec.bodies).read_bytes().splitlines()
        secrets = spec.secrets
        self._requests = [
            request_bytes("POST", spec.path, host, secrets[number % len(secrets)], line)
            for number, line in enumerate(lines)
        ]
        self._answers: list[tuple[int, int, Answer]] = []
        self._errors: list[str] = []
        self._held = 0
        self._next = 0
        self._idle: deque[Connection] = deque()
        self._receipts = LineCount(Path(spec.receipts)) if spec.receipts else None
        self._received = 0

    async def run(self) -> LoadResult:
        """Send all requests and return the result."""
        started_ns = time.time_ns()
        cpu_before = _cpu_s()
        if self._spec.rate is None:
            await asyncio.gather(*(self._closed_loop() for _ in range(self._spec.connections)))
        else:
            await self._open_loop(self._spec.rate, started_ns)
        ended_ns, cpu_s = time.time_ns(), _cpu_s() - cpu_before
        return LoadResult(started_ns, ended_ns, cpu_s, self._held, self._errors, self._acks())

    async def _closed_loop(self) -> None:
        connection = await connect(self._spec.host, self._spec.port)
        while self._next < self._spec.requests:
            if self._too_far_ahead():
                await asyncio.sleep(BACKLOG_POLL_S)
                continue
            index = self._next
            self._next += 1
            connection = await self._send(connection, index, time.time_ns())
        connection.close()

    async def _open_loop(self, rate: float, started_ns: int) -> None:
        for _ in range(self._spec.connections):
            self._idle.append(await connect(self._spec.host, self._spec.port))
        async with asyncio.TaskGroup() as group:
            for index in range(self._spec.requests):
                intended_ns = started_ns + int(index * NS / rate)
                ahead_ns = intended_ns - time.time_ns()
                if ahead_ns > 0:
                    await asyncio.sleep(ahead_ns / NS)
                group.create_task(self._send_pooled(index, intended_ns))
        for connection in self._idle:
            connection.close()

    async def _send_pooled(self, index: int, intended_ns: int) -> None:
        connection = self._idle.popleft() if self._idle else await connect(self._spec.host, self._spec.port)
        self._idle.append(await self._send(connection, index, intended_ns))

    async def _send(self, connection: Connection, index: int, intended_ns: int) -> Connection:
        """Send one request until it is settled; return a connection for the next one."""
        raw = self._requests[index % len(self._requests)]
        while True:
            try:
                answer = await connection.request(raw)
            except WireError as error:
                self._errors.append(f"{error} (sent: {error.sent})")
                return await connect(self._spec.host, self._spec.port)
            if answer.status in (429, 503):
                self._held += 1
                await asyncio.sleep(min(answer.retry_after_s or RETRY_AFTER_S_DEFAULT, RETRY_AFTER_S_MAX))
                continue
            self._answers.append((intended_ns, time.time_ns(), answer))
            return connection

    def _too_far_ahead(self) -> bool:
        """Return whether the provider is too far behind the requests; reads its file only when that is possible."""
        if self._receipts is None:
            return False
        if self._next * self._spec.items - self._received > self._spec.backlog_max:
            self._received = self._receipts.read()
        return self._next * self._spec.items - self._received > self._spec.backlog_max

    def _acks(self) -> list[Ack]:
        acks: list[Ack] = []
        for intended_ns, answered_ns, answer in self._answers:
            ids = read_ids(answer, batch=self._spec.items > 1)
            if ids is None:
                self._errors.append(f"{answer.status}: {answer.body[:300]!r}")
            else:
                acks.append(Ack(intended_ns, answered_ns, ids))
        return acks


def read_ids(answer: Answer, *, batch: bool) -> list[str] | None:
    """Return the ids that a response acknowledges, None unless all items were accepted."""
    if answer.status != 202:
        return None
    if not batch:
        single = msgspec.json.decode(answer.body, type=_Result)
        return [single.id] if single.id else None
    results = msgspec.json.decode(answer.body, type=_Batch).results
    ids = [result.id for result in results if result.id and not result.error]
    return ids if len(ids) == len(results) else None


def _cpu_s() -> float:
    usage = getrusage(RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Run the spec named on the command line."""
    spec = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=LoadSpec)

    async def run() -> LoadResult:
        return await Generator(spec).run()

    result = uvloop.run(run())
    Path(spec.out).write_bytes(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
