"""The addresses and ports that an outbound call may connect to: a separate table, because the standard library's has
gaps.

Python's `is_global` is true for multicast, and for NAT64 and 6to4 forms of loopback. Here an IPv6 address has to be
global unicast, and one that embeds an IPv4 address is checked by the embedded address.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

HTTP_PORTS: Final = (range(80, 81), range(443, 444), range(1024, 65_536))
SMTP_PORTS: Final = (range(25, 26), range(465, 466), range(587, 588), range(1024, 65_536))

_DENIED_V4: Final = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "cloud metadata"),
        ("169.254.0.0/16", "link-local or cloud metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_DENIED_V6: Final = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("2001::/23", "protocol assignment (Teredo, ORCHID)"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
    )
)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")

Network = IPv4Network | IPv6Network


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks of CIDR texts. Raises `ValueError` when a text is not a network."""
    return tuple(ip_network(text) for text in texts)


def refusal(address: str, allowed: Iterable[Network] = ()) -> str | None:
    """Return why an address may not be connected to, or None when it may. `allowed` networks take precedence over the
    table."""
    try:
        ip = ip_address(address)
    except ValueError:
        return "not an IP address"
    if isinstance(ip, IPv6Address) and ip.scope_id is not None:
        return "link-local"
    inner = _unwrapped(ip)
    if any(candidate in network for network in allowed for candidate in (ip, inner)):
        return None
    if isinstance(inner, IPv4Address):
        return next((what for network, what in _DENIED_V4 if inner in network), None)
    if inner not in _GLOBAL_V6:
        return "not global unicast"
    return next((what for network, what in _DENIED_V6 if inner in network), None)


def _unwrapped(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address inside a mapped, NAT64 or 6to4 address, else the address itself.

    IPv4-compatible addresses (`::a.b.c.d`) are deprecated and not global unicast, so they are refused whole.
    """
    if isinstance(ip, IPv4Address):
        return ip
    if ip in _MAPPED or ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    if ip in _SIX_TO_FOUR:
        return IPv4Address(int(ip) >> 80 & 0xFFFF_FFFF)
    return ip


def port_allowed(port: int, ports: Iterable[range]) -> bool:
    """Return whether a port is in one of the ranges."""
    return any(port in span for span in ports)
