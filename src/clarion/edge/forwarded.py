"""The client of a request that came through trusted proxies: the last address in `X-Forwarded-For` that is none of theirs.

Every proxy appends the address that connected to it, so entries are true from the right up to the first that a trusted
proxy did not write. What a client wrote itself stands to the left of its own address, and is never read. `Forwarded` (RFC
7239) is ignored: proxies that write only `X-Forwarded-For` let a client's `Forwarded` through.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from clarion.domain.errors import OperatorError
from clarion.domain.limits_processes import PROXY_ADDRESSES_MAX, PROXY_HOPS_MAX

_FOR: Final = b"x-forwarded-for"
_PROTO: Final = b"x-forwarded-proto"
_ADDRESS_CHARS_MAX: Final = 60
_PORT_DIGITS_MAX: Final = 5
_SCHEMES: Final = {b"http": "http", b"https": "https"}

Network = IPv4Network | IPv6Network


def trusted_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks of the setting `api.trusted_proxies`. Raises `OperatorError` for one that is none, or that
    trusts everybody."""
    networks: list[Network] = []
    for text in texts:
        try:
            network = ip_network(text)
        except ValueError as error:
            raise OperatorError(f"Setting api.trusted_proxies: {text!r} is no address or network: {error}.") from error
        if not network.prefixlen:
            raise OperatorError(f"Setting api.trusted_proxies: {text} would trust every client.")
        networks.append(network)
    return tuple(networks)


def is_among(text: str, networks: Iterable[Network]) -> bool:
    """Return whether an address, in one of the forms that `parsed_address` reads, is in one of the networks."""
    address = parsed_address(text)
    return address is not None and any(address in one for one in networks if one.version == address.version)


class TrustedProxies:
    """An ASGI application behind proxies: it gets the client's address and scheme in `client` and `scheme`. Headers of a
    peer that is no trusted proxy change nothing."""

    def __init__(self, app: ASGIApp, networks: Sequence[Network]) -> None:
        self._app = app
        self._forwarded = Forwarded(networks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its client."""
        if scope["type"] == "http" and scope.get("client"):
            peer, port = scope["client"]
            if self._forwarded.is_trusted(peer):
                client = self._forwarded.client(peer, scope["headers"])
                same = client == self._forwarded.client(peer, ())
                scope["client"], scope["scheme"] = (client, port if same else 0), _scheme(scope)
        await self._app(scope, receive, send)


class Forwarded:
    """Tells the clients of trusted proxies by the headers that these write."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        self._known = lru_cache(PROXY_ADDRESSES_MAX)(self._looked_up)

    def is_trusted(self, address: str) -> bool:
        """Return whether an address is that of a trusted proxy."""
        return self._known(address)[1]

    def client(self, address: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """Return the address of the client of a connection. Where an entry cannot be read, the proxy that wrote it is the client:
        nothing to its left is known to be true."""
        client, trusted = self._known(address)
        if not trusted:
            return address
        for entry in _entries(headers):
            found, trusted = self._known(entry) if len(entry) <= _ADDRESS_CHARS_MAX else ("", False)
            client = found or client
            if not trusted:
                break
        return client

    def _looked_up(self, text: str) -> tuple[str, bool]:
        """Return an address in one form (empty when there is none in the text), and whether it is a trusted proxy's."""
        address = parsed_address(text)
        if address is None:
            return "", False
        return str(address), is_among(text, self._networks)


def _entries(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """Return the entries of all `X-Forwarded-For` headers, which are one list, from the right."""
    entries: list[str] = []
    for name, value in reversed(headers):
        if name == _FOR:
            # Only as much is split off as is read.
            entries += reversed(value.decode("latin-1").rsplit(",", PROXY_HOPS_MAX)[-PROXY_HOPS_MAX:])
            if len(entries) >= PROXY_HOPS_MAX:
                break
    return entries[:PROXY_HOPS_MAX]


def _scheme(scope: Scope) -> str:
    """Return the scheme that the nearest proxy reports, else that of the connection."""
    scheme: str = scope["scheme"]
    for name, value in reversed(scope["headers"]):
        if name == _PROTO:
            return _SCHEMES.get(value.rpartition(b",")[2].strip().lower(), scheme)
    return scheme


def parsed_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address that may have a port (`192.0.2.1:80`, `[2001:db8::1]:80`), an IPv4-mapped one as IPv4, or None
    for any other text."""
    text = text.strip(" \t")
    if len(text) > _ADDRESS_CHARS_MAX or not text.isascii() or "%" in text:
        return None
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not _is_port(rest)):
            return None
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        if not _is_port(f":{port}"):
            return None
    else:
        host = text
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_port(text: str) -> bool:
    return text[0] == ":" and text[1:].isdecimal() and len(text) <= 1 + _PORT_DIGITS_MAX
