"""Peers: whom requests of one address count for."""

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from clarion.domain.limits_processes import PEERS_KEPT_MAX

_PREFIX_BITS: Final = 64
_NETWORK_BITS: Final = 48


def peer_of(client: tuple[str, int] | None) -> str:
    """Return the peer of a client: its IPv4 address, or the first 64 bits of its IPv6 address, as one customer of a
    network usually has all the addresses below them. It is empty when the client has no address."""
    return "" if client is None else _of(client[0])[0]


def peers_of(client: tuple[str, int] | None) -> tuple[str, ...]:
    """Return the peer of a client and, for an IPv6 address, the network of its first 48 bits: the largest that is
    usually given to one customer, who can choose among its 65,536 peers (RFC 6177)."""
    return ("",) if client is None else _of(client[0])


@lru_cache(maxsize=PEERS_KEPT_MAX)
def _of(host: str) -> tuple[str, ...]:
    if ":" not in host:
        return (host,)
    address = ip_address(host)
    if not isinstance(address, IPv6Address):
        return (host,)
    if address.ipv4_mapped is not None:
        return (str(address.ipv4_mapped),)
    return _prefix(address, _PREFIX_BITS), _prefix(address, _NETWORK_BITS)


def _prefix(address: IPv6Address, bits: int) -> str:
    hidden = address.max_prefixlen - bits
    return f"{IPv6Address(int(address) >> hidden << hidden)}/{bits}"
