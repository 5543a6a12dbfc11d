"""Names of process starts: the owner of a lease is one start of a process, not its number.

The supervisor names every start of a child and tells it which starts of that child are over, so that it frees what they
held at once instead of waiting until it expires. The names stay in `<run>/<child>.starts`, for a supervisor that comes
after one that was killed. A process that was started by hand names itself and frees nothing.
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
"""Starts that may fail in a row before one frees what the first of them held."""


class Start(NamedTuple):
    """One start of a role: the owner of its leases, and the owners of those that are over."""

    owner: str
    ended: list[str]


def noted(run_dir: Path, child: str) -> dict[str, str]:
    """Write down a start of a child about to be made, and return the variables that tell the child of it. Every earlier
    start of the child has to be over."""
    path = run_dir / f"{child}.starts"
    ended = path.read_text().split() if path.exists() else []
    ended = ended[-_ENDED_STARTS_MAX:]
    name = secrets.token_hex(_NAME_BYTES)
    fresh = path.with_suffix(".starts.new")
    fresh.write_text(" ".join([*ended, name]))
    fresh.replace(path)
    return {START_VARIABLE: name, ENDED_VARIABLE: " ".join(ended)}


def this_start(role: str, env: Mapping[str, str], clock: Clock) -> Start:
    """Return the start that this process is, as its environment says or, without a supervisor, by chance."""
    name = env.get(START_VARIABLE) or clock.entropy(_NAME_BYTES).hex()
    return Start(f"{role}-{name}", [f"{role}-{ended}" for ended in env.get(ENDED_VARIABLE, "").split()])
