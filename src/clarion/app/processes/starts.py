"""Names of process starts: the owner of a lease is one start of a process, not the process's number.

The supervisor names every start of a child and passes it the earlier starts that are over, so that the child frees
their leases at once instead of waiting until they expire. The names stay in `<run>/<child>.starts`, for a supervisor
that follows a killed one. A process that was started by hand names itself and frees nothing.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from clarion.ports.clock import Clock

START_VARIABLE: Final = "CLARION_START"
ENDED_VARIABLE: Final = "CLARION_ENDED_STARTS"
_NAME_BYTES: Final = 5
_ENDED_STARTS_MAX: Final = 8
"""Starts that may fail in a row before one frees the leases of the first of them."""


class RoleStart(NamedTuple):
    """One start of a role: the owner of its leases, and the owners that earlier starts were."""

    owner: str
    ended: list[str]


def record_start(run_dir: Path, child: str) -> dict[str, str]:
    """Record a start of a child before it is made, and return the environment variables that describe it to the child.
    Every earlier start of the child has to be over."""
    path = run_dir / f"{child}.starts"
    ended = path.read_text().split() if path.exists() else []
    ended = ended[-_ENDED_STARTS_MAX:]
    name = secrets.token_hex(_NAME_BYTES)
    fresh = path.with_suffix(".starts.new")
    fresh.write_text(" ".join([*ended, name]))
    fresh.replace(path)
    return {START_VARIABLE: name, ENDED_VARIABLE: " ".join(ended)}


def this_start(role: str, env: Mapping[str, str], clock: Clock) -> RoleStart:
    """Return the start of this process: from its environment or, without a supervisor, with a random name."""
    name = env.get(START_VARIABLE) or clock.entropy(_NAME_BYTES).hex()
    return RoleStart(f"{role}-{name}", [f"{role}-{ended}" for ended in env.get(ENDED_VARIABLE, "").split()])
