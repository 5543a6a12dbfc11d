"""Metrics and logs as a port: called once a frame or batch, never once a notification."""

from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from clarion.domain.security_events import SecurityEvent

T = TypeVar("T")


class Telemetry(Protocol):
    """Metrics and log lines of one process."""

    def cpu(self, stage: str) -> AbstractContextManager[None]:
        """Attribute the CPU time this thread spends inside the block (which must not await) to a stage."""
        ...

    async def cpu_of(self, stage: str, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of a coroutine, and attribute to a stage the CPU time that this thread spends in it: not
        that of other tasks while it waits, and of tasks it starts only those that `ports.metering.together` runs."""
        ...

    def count(self, name: str, amount: int, **labels: str) -> None:
        """Add to a counter."""
        ...

    def log(self, level: str, event: str, **fields: Any) -> None:
        """Write a structured log line; `level` is `info`, `warning` or `error`."""
        ...

    def security(self, event: SecurityEvent, **fields: Any) -> None:
        """Record an event of the security log. `fields` are of this vocabulary, each only where it is known: `tenant`,
        `key_id`, `by` (the id of the key that changed something, or the word operator), `user` (its id), `person` (the id of who is signed in), `peer` (address
        or network), `route` (method and path pattern), `reason` (a code) and `subject` (what else it concerns, an
        account's name for example). Secrets and bodies are never among them."""
        ...
