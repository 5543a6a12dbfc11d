"""What a server offers, as a client sees it: attacks on what it does not offer are not made."""

import socket
from typing import Final

from clarion_lab.edge.attacks import PLAIN, TLS
from clarion_lab.edge.wire import tls_hello

TLS_RECORDS: Final = (b"\x15", b"\x16")
"""First bytes of an alert and of a handshake, RFC 8446, 5.1."""
ANSWER_S_MAX: Final = 10.0


def offered(host: str, port: int) -> str:
    """Return `TLS` if a server answers the beginning of a handshake with a record of TLS, else `PLAIN`."""
    with socket.create_connection((host, port), ANSWER_S_MAX) as one:
        one.sendall(tls_hello())
        return TLS if one.recv(1) in TLS_RECORDS else PLAIN
