"""First frames that were refused count for the peer that sent them: one that guesses waits, and a credential that was valid before
is always looked at."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from clarion.domain.errors import RequestLimited
from clarion.domain.limits_gateway import TOKENS_KNOWN_MAX
from clarion.domain.request_rate import seconds
from clarion.edge.peers import peers_of

DELAYED: Final = "credentials_delayed"


class Waits(Protocol):
    """How long peers wait. Times are of a clock that never goes back."""

    def wait_ns(self, peers: Sequence[str], now_ns: int) -> int:
        """Return how long a peer has to wait; 0 or less is not at all."""
        ...

    def count(self, peers: Sequence[str], now_ns: int) -> None:
        """Count a refusal of a peer."""
        ...


class Refusals:
    """The refusals of one gateway. Without `waits` nobody waits."""

    def __init__(self, waits: Waits | None, now_ns: Callable[[], int]) -> None:
        self._waits = waits
        self._now_ns = now_ns
        self._known: dict[int, None] = {}
        """Hashes of credentials that were valid, the oldest first."""

    def check(self, address: str, credential: str) -> None:
        """Raise `RequestLimited` while the peer of an address has to wait with a credential that is not known."""
        if self._waits is None or hash(credential) in self._known:
            return
        wait_ns = self._waits.wait_ns(peers_of((address, 0)), self._now_ns())
        if wait_ns > 0:
            detail = "too many first frames of this address were refused; this one was not read"
            raise RequestLimited(detail, retry_after_s=seconds(wait_ns), code=DELAYED)

    def count(self, address: str, credential: str = "") -> None:
        """Count a refusal."""
        self._known.pop(hash(credential), None)
        if self._waits is not None:
            self._waits.count(peers_of((address, 0)), self._now_ns())

    def accept(self, credential: str) -> None:
        """Remember a credential that was valid."""
        self._known[hash(credential)] = None
        while len(self._known) > TOKENS_KNOWN_MAX:
            del self._known[next(iter(self._known))]
