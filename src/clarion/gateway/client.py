"""What the hub knows of a connected client, whatever its transport."""

from collections.abc import Sequence
from typing import Protocol

from clarion.domain.inbox import Position
from clarion.gateway.codes import Closing


class Client(Protocol):
    """A connection of one user. `position` is None until its first answer, and says what it has been sent since. Its token was signed
    with a generation of the tenant's keys, and is valid until `expires_ms`."""

    tenant: str
    user_id: str
    generation: int
    expires_ms: int
    position: Position | None

    def send(self, frames: Sequence[bytes]) -> None:
        """Send frames in order. A client that does not read is closed when too much waits for it."""
        ...

    def close(self, code: Closing) -> None:
        """Say why, and end the connection."""
        ...

    def drain(self) -> None:
        """Ask the client to leave: the gateway stops."""
        ...
