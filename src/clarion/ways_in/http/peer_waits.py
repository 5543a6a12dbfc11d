"""How long peers wait after refused credentials, for keys and for user tokens."""

from collections.abc import Sequence
from typing import Final, Protocol

from clarion.domain.credential_delays import Refusals, is_forgiven, refused_again
from clarion.domain.limits_processes import (
    CREDENTIAL_PEERS_KEPT_MAX,
    NETWORK_PEERS,
    TOKENS_REFUSED_AT_ONCE,
    TOKENS_REFUSED_PER_S,
)
from clarion.domain.request_rate import RequestRate, is_whole
from clarion.edge.bounded_table import BoundedTable

_MS_NS: Final = 1_000_000
_NONE: Final = Refusals()


class PeerWaits(Protocol):
    """The waits of peers. Times are of a clock that never goes back; `peers` are a peer and the network it is in, which
    waits after `NETWORK_PEERS` times as many refusals."""

    def wait_ns(self, peers: Sequence[str], now_ns: int) -> int:
        """Return how long a peer has to wait; 0 or less is not at all."""
        ...

    def count(self, peers: Sequence[str], now_ns: int) -> None:
        """Count a refused credential of a peer."""
        ...


class GrowingWaits:
    """Waits that grow with each refused credential. For keys, which servers use for a long time."""

    def __init__(self, free: int) -> None:
        """`free` is the number of refused credentials of a peer that have no wait."""
        self._free = free
        self._refusals = BoundedTable[Refusals](CREDENTIAL_PEERS_KEPT_MAX, is_forgiven)

    def wait_ns(self, peers: Sequence[str], now_ns: int) -> int:
        """Return how long a peer has to wait."""
        entries = self._refusals.entries
        return max(entries.get(peer, _NONE).until_ms for peer in peers) * _MS_NS - now_ns

    def count(self, peers: Sequence[str], now_ns: int) -> None:
        """Count a refused credential of a peer."""
        now_ms, free, table = now_ns // _MS_NS, self._free, self._refusals
        for peer in peers:
            table.put(peer, refused_again(table.entries.get(peer, _NONE), free, now_ms), now_ms)
            free *= NETWORK_PEERS


class RateWaits:
    """Waits for a rate of refused credentials. For user tokens: many users share an address, and have a new token every few
    minutes, so a wait that grows would lock all of them out for one."""

    def __init__(self) -> None:
        self._rates = (
            RequestRate(TOKENS_REFUSED_PER_S, TOKENS_REFUSED_AT_ONCE),
            RequestRate(NETWORK_PEERS * TOKENS_REFUSED_PER_S, NETWORK_PEERS * TOKENS_REFUSED_AT_ONCE),
        )
        self._used = BoundedTable[int](CREDENTIAL_PEERS_KEPT_MAX, is_whole)

    def wait_ns(self, peers: Sequence[str], now_ns: int) -> int:
        """Return how long a peer has to wait."""
        entries = self._used.entries
        return max(rate.wait_ns(entries.get(peer, 0), now_ns) for rate, peer in zip(self._rates, peers, strict=False))

    def count(self, peers: Sequence[str], now_ns: int) -> None:
        """Count a refused credential of a peer."""
        entries = self._used.entries
        for rate, peer in zip(self._rates, peers, strict=False):
            charged_ns = rate.charged(entries.get(peer, 0), now_ns)
            if charged_ns:
                self._used.put(peer, charged_ns, now_ns)
