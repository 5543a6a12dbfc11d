"""Resolves names to checked addresses: once, off the loop, with every address checked; callers connect to these
addresses."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable

from clarion.domain.errors import EgressError, Sent
from clarion.domain.limits_delivery import EGRESS_RESOLVE_TIMEOUT_MS
from clarion.outbound.net.guard import networks, port_allowed, refusal

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""Returns the addresses of a host name. Raises `OSError` when there are none."""


async def lookup(host: str, port: int) -> list[str]:
    """Return the addresses of a name from the system's resolver. Raises `OSError` when there are none."""
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


class Resolver:
    """Resolves and checks names. `allow_private` are CIDR networks that may be connected to although the guard's table
    refuses them: for tests, demos and relays in the operator's own network."""

    def __init__(self, allow_private: Iterable[str] = (), *, lookup: Lookup = lookup) -> None:
        self._allowed = networks(allow_private)
        self._lookup = lookup

    async def addresses(self, host: str, port: int, ports: Iterable[range]) -> list[str]:
        """Return the addresses of a host (a name, or an IP address without brackets), all of them checked.

        Raises `EgressError` with `sent=NO`: `blocked` when the port or *any* address is refused, so that an answer mixing
        public and private addresses cannot get through.
        """
        if not port_allowed(port, ports):
            raise EgressError(f"port {port} is not allowed for outbound calls", sent=Sent.NO, blocked=True)
        found = await self._resolve(host, port)
        for address in found:
            if cause := refusal(address, self._allowed):
                raise EgressError(f"{host} is at a refused address ({cause})", sent=Sent.NO, blocked=True)
        return found

    async def _resolve(self, host: str, port: int) -> list[str]:
        try:
            async with asyncio.timeout(EGRESS_RESOLVE_TIMEOUT_MS / 1000):
                found = await self._lookup(host, port)
        except TimeoutError:
            raise EgressError(f"resolving {host} took over {EGRESS_RESOLVE_TIMEOUT_MS} ms", sent=Sent.NO) from None
        except (OSError, UnicodeError):
            raise EgressError(f"{host} does not resolve", sent=Sent.NO) from None
        if not found:
            raise EgressError(f"{host} has no address", sent=Sent.NO)
        return found
