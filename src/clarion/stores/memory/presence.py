"""Who is connected, in memory: for one process, and the reference for other backends."""

from collections.abc import Mapping, Sequence

from clarion.ports.clock import Clock
from clarion.ports.presence import Connected, User


class MemoryPresence:
    """Implements `ports/presence.py` for one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expires_ms: dict[str, int] = {}
        self._users: dict[User, dict[str, int]] = {}

    async def renew(self, gateway: str, ttl_ms: int) -> bool:
        """Record that a gateway is at work."""
        now_ms = self._clock.now_ms()
        for lapsed in [one for one, at_ms in self._expires_ms.items() if at_ms <= now_ms and one != gateway]:
            await self.withdraw(lapsed)
        known = gateway in self._expires_ms
        self._expires_ms[gateway] = now_ms + ttl_ms
        return known

    async def record(self, gateway: str, changes: Sequence[Connected]) -> None:
        """Record connections of users at a gateway."""
        for tenant, user_id, connections in changes:
            self._users.setdefault((tenant, user_id), {})[gateway] = connections
            if not connections:
                self._drop((tenant, user_id), gateway)

    async def present(self, users: Sequence[User]) -> Mapping[User, int]:
        """Return those of the users who are connected."""
        now_ms = self._clock.now_ms()
        found = {}
        for user in users:
            own = self._users.get(user, {}).items()
            total = sum(count for gateway, count in own if self._expires_ms.get(gateway, 0) > now_ms)
            if total:
                found[user] = total
        return found

    async def gateways(self) -> int:
        """Return how many gateways are at work."""
        now_ms = self._clock.now_ms()
        return sum(at_ms > now_ms for at_ms in self._expires_ms.values())

    async def withdraw(self, gateway: str) -> None:
        """Forget a gateway and its users."""
        self._expires_ms.pop(gateway, None)
        for user in list(self._users):
            self._drop(user, gateway)

    def close(self) -> None:
        """Do nothing: nothing is open."""

    def _drop(self, user: User, gateway: str) -> None:
        own = self._users[user]
        own.pop(gateway, None)
        if not own:
            del self._users[user]
