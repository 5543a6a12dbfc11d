"""The honest load `connections_many`: clients with a valid key at one address that all connect at once, such as those of a
company behind one router after an outage. Each sends one request on a connection of its own, and ends. One client comes
before them, as only an address that is known by a valid credential may have so many.

`python -m clarion_lab.edge.connections SPEC` reads a `ConnectionsSpec` (JSON), prints a line, waits for one on its input,
connects, and prints a `ConnectionsResult` (JSON).
"""

import asyncio
import sys
import time
from typing import Final

import msgspec
import uvloop

from clarion_lab.edge.dialogue import READY, say
from clarion_lab.edge.honest import Sample, client_tls
from clarion_lab.load.http1 import WireError, connect, request_bytes

CONNECTIONS_MANY: Final = "connections_many"
"""Its name."""
CONNECTIONS: Final = 2_000
ANSWER_S_MAX: Final = 30.0
"""Seconds that a client waits for its connection and its response."""
PATH: Final = "/v1/topics"


class ConnectionsSpec(msgspec.Struct, frozen=True):
    """The load: its target, the clients' own address, their key, and their number. `ca_file` is the CA of a server with
    TLS, empty for one without."""

    host: str
    port: int
    address: str
    secret: str
    number: int = CONNECTIONS
    ca_file: str = ""


class ConnectionsResult(msgspec.Struct, frozen=True):
    """What became of each client's request; one that was answered with 200 has no error."""

    samples: list[Sample]


async def run(spec: ConnectionsSpec) -> ConnectionsResult:
    """Connect one client, which is not counted, then all others at once. Return when each has its response or has given
    up."""
    tls = client_tls(spec.ca_file)
    request = request_bytes("GET", PATH, f"{spec.host}:{spec.port}", spec.secret, b"")

    async def client() -> Sample:
        at_ns, error, connection = time.time_ns(), "", None
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                connection = await connect(spec.host, spec.port, tls, spec.address)
                answer = await connection.request(request)
            error = "" if answer.status == 200 else f"{answer.status}: {answer.body[:200]!r}"
        except (WireError, TimeoutError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        if connection is not None:
            connection.close()
        return Sample(at_ns, time.time_ns() - at_ns, "", error)

    await client()
    return ConnectionsResult(await asyncio.gather(*(client() for _ in range(spec.number))))


def main() -> None:
    """Run the load described on the command line."""
    spec = msgspec.json.decode(sys.argv[1], type=ConnectionsSpec)
    say(READY)
    sys.stdin.readline()
    say(msgspec.json.encode(uvloop.run(run(spec))).decode())


if __name__ == "__main__":
    main()
