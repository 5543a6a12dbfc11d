"""The attacker: a separate process, so that its CPU time is not counted as the load generator's.

`python -m clarion_lab.edge.attacker SPEC` reads an `AttackSpec` (JSON), prepares, prints a line, waits for one on its
input, attacks for the given time, and prints an `AttackResult` (JSON).
"""

import sys
import time

import msgspec
import uvloop

from clarion_lab.edge.attacks import named
from clarion_lab.edge.behaviours import Behaviour, Peer
from clarion_lab.edge.dialogue import READY, say


class AttackSpec(msgspec.Struct, frozen=True):
    """An attack by its name, its target, the attacker's own address, and the key of a tenant of its own."""

    attack: str
    host: str
    port: int
    address: str
    seconds: float
    secret: str


class AttackResult(msgspec.Struct, frozen=True):
    """What reached the server, the responses by status ("0": closed without one), and the CPU time of the attacker."""

    landed: dict[str, int]
    cpu_s: float
    statuses: dict[str, int]


async def _attack(spec: AttackSpec, behave: Behaviour) -> AttackResult:
    peer = Peer(spec.host, spec.port, spec.address, spec.seconds)
    began_s = time.process_time()
    await behave(peer)
    statuses = {str(status): number for status, number in sorted(peer.statuses.items())}
    return AttackResult(dict(peer.landed), time.process_time() - began_s, statuses)


def main() -> None:
    """Run the attack described on the command line."""
    spec = msgspec.json.decode(sys.argv[1], type=AttackSpec)
    behave = named(spec.attack).make(spec.secret)
    say(READY)
    sys.stdin.readline()
    result = uvloop.run(_attack(spec, behave))
    say(msgspec.json.encode(result).decode())


if __name__ == "__main__":
    main()
