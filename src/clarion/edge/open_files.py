"""How many connections the system permits an API process: each is an open file."""

import resource
from typing import Final

from clarion.domain.limits_processes import (
    CONNECTIONS_MAX,
    CONNECTIONS_WAITING_SHARE,
    HEALTH_CONNECTIONS_MAX,
    OPEN_FILES_BESIDE_CONNECTIONS,
)
from clarion.ports.telemetry import Telemetry

_BESIDE: Final = HEALTH_CONNECTIONS_MAX + OPEN_FILES_BESIDE_CONNECTIONS
_LEAST: Final = 64


def needed_for(connections: int) -> int:
    """Return how many open files a number of connections needs."""
    return int(connections * (1 + CONNECTIONS_WAITING_SHARE)) + _BESIDE


NEEDED: Final = needed_for(CONNECTIONS_MAX)


def connections_for(open_files: int, most: int = CONNECTIONS_MAX) -> int:
    """Return how many connections fit into a number of open files."""
    return max(_LEAST, min(most, int((open_files - _BESIDE) / (1 + CONNECTIONS_WAITING_SHARE))))


def raise_open_files(telemetry: Telemetry, most: int = CONNECTIONS_MAX) -> int:
    """Raise this process's limit of open files to what it needs, as far as the system permits. Returns how many
    connections it may have then; a warning says when these are fewer than `most`."""
    needed = needed_for(most)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (OSError, ValueError):
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return most
    connections = connections_for(soft, most)
    advice = f"raise the hard limit of open files to {needed} (ulimit -Hn, LimitNOFILE)"
    telemetry.log("warning", "open_files_low", permitted=soft, connections_max=connections, advice=advice)
    return connections
