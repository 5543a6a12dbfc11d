"""Networks of client addresses: those that a key may be used from, and those it was used from.

An IPv4 address that a dual-stack socket gives as IPv6 (`::ffff:192.0.2.1`) counts as the IPv4 address that it is, in
addresses and in networks.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

from clarion.domain.errors import InvalidField
from clarion.domain.limits import NETWORKS_PER_KEY_MAX
from clarion.domain.limits_processes import CLIENT_ADDRESSES_MAX

_MAPPED_BITS: Final = 96
_SHOWN_BITS: Final = {4: 24, 6: 48}
"""The prefix by which a network that a key was used from is shown: a site's, usually. It is no single computer's."""


class Network(NamedTuple):
    """A network for comparing: the addresses of a version whose number, shifted right, is `prefix`."""

    version: int
    shift: int
    prefix: int


def check_networks(texts: Sequence[str], field: str = "networks") -> tuple[str, ...]:
    """Return networks in CIDR notation, in their canonical form and without repeats. An address is a network of one.
    Raises `InvalidField` for too many, or one that is no network."""
    if len(texts) > NETWORKS_PER_KEY_MAX:
        raise InvalidField(f"takes at most {NETWORKS_PER_KEY_MAX} networks", field=field)
    found = (str(_network(text, f"{field}[{index}]")) for index, text in enumerate(texts))
    return tuple(dict.fromkeys(found))


def comparable(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return canonical networks for comparing."""
    return tuple(
        Network(one.version, one.max_prefixlen - one.prefixlen, int(one.network_address) >> one.max_prefixlen - one.prefixlen)
        for one in map(ip_network, texts)
    )  # fmt: skip


def contain(networks: Sequence[Network], host: str) -> bool:
    """Return whether one of the networks holds an address; none holds a text that is no address."""
    address = _address(host)
    if address is None:
        return False
    number, version = int(address), address.version
    return any(version == one.version and number >> one.shift == one.prefix for one in networks)


def network_of(host: str) -> str:
    """Return the network of an address: its IPv4 /24 or IPv6 /48; empty for a text that is no address."""
    address = _address(host)
    return "" if address is None else str(ip_network((address, _SHOWN_BITS[address.version]), strict=False))


def _network(text: str, field: str) -> IPv4Network | IPv6Network:
    try:
        found = ip_network(text, strict=False)
    except ValueError:
        raise InvalidField("must be a network such as 192.0.2.0/24 or 2001:db8::/32", field=field) from None
    address = ip_address(text.partition("/")[0])
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise InvalidField("must be a network without a zone", field=field)
    if address != found.network_address:
        raise InvalidField(f"has bits behind its prefix; did you mean {found}?", field=field)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None and found.prefixlen >= _MAPPED_BITS:
        return IPv4Network((address.ipv4_mapped, found.prefixlen - _MAPPED_BITS))
    return found


@lru_cache(maxsize=CLIENT_ADDRESSES_MAX)
def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
