"""Ports for servers that are told where to listen.

They lie below those that the system gives to outgoing connections, and belong to the process that asked until it ends, also
while nothing listens: between the choice and the start of a server, and between its death and its next start. A process
claims a port with a lock on one byte of a file that all checkouts of a user share. The system gives such a lock back when the
process ends, however it ends, and no child inherits it.
"""

import fcntl
import os
import secrets
import socket
from functools import cache
from itertools import chain
from typing import Final

from clarion.domain.errors import OperatorError
from clarion_lab.machine.lock import own_folder

VARIABLE: Final = "TEST_PORTS"
"""The environment variable that moves the range, as in `TEST_PORTS=21000-21999`."""
DEFAULT: Final = "20000-29999"
LOWEST: Final = 1024
HIGHEST: Final = 32767
"""From the next one on, Linux chooses ports of outgoing connections."""
HOST: Final = "127.0.0.1"

_ours: set[int] = set()


class NoPort(OperatorError):
    """No port can be had, or the range is no range."""


def port_range() -> range:
    """Return the ports to choose from. Raises `NoPort` when the variable holds no range below those of the system."""
    text = os.environ.get(VARIABLE) or DEFAULT
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and LOWEST <= int(first) <= int(last) <= HIGHEST):
        raise NoPort(f"{VARIABLE} is {text!r}, not a range within {LOWEST}-{HIGHEST} such as {DEFAULT}.")
    return range(int(first), int(last) + 1)


def free_port() -> int:
    """Return a TCP port of loopback on which nothing listens and which no other process gets while this one runs. Raises
    `NoPort` when there is none."""
    ports = port_range()
    start = secrets.randbelow(len(ports))
    for port in chain(ports[start:], ports[:start]):
        if port in _ours or not _claimed(port):
            continue
        if _is_free(port):
            _ours.add(port)
            return port
        fcntl.lockf(_claims(), fcntl.LOCK_UN, 1, port)
    raise NoPort(f"All ports of {VARIABLE} {ports[0]}-{ports[-1]} are taken.")


@cache
def _claims() -> int:
    """Return the file of claims, one byte a port. It stays open: the locks of a process end when it closes the file."""
    return os.open(own_folder() / "ports", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _claimed(port: int) -> bool:
    try:
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
