"""A few places, given to tenants in turn: however many jobs one tenant has, other tenants wait for at most one of
them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from clarion.domain.errors import Overloaded


class Turns:
    """Allocates `places`. At most `waiting_max` callers wait for one, at most `waiting_per_tenant_max` of them per
    tenant; more are refused. It belongs to one event loop."""

    def __init__(self, places: int, *, waiting_max: int, waiting_per_tenant_max: int) -> None:
        self._free = places
        self._waiting_max = waiting_max
        self._waiting_per_tenant_max = waiting_per_tenant_max
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # the tenant whose turn is next comes first

    @asynccontextmanager
    async def place(self, tenant: str) -> AsyncIterator[None]:
        """Wait for the tenant's turn and hold a place within the context. Raises `Overloaded` when too many callers
        wait."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(tenant)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, tenant: str) -> None:
        line = self._waiting.get(tenant, deque())
        everybody = sum(map(len, self._waiting.values()))
        if everybody >= self._waiting_max or len(line) >= self._waiting_per_tenant_max:
            raise Overloaded("too many templates are being processed; try again", retry_after_s=1)
        turn = asyncio.get_running_loop().create_future()
        line.append(turn)
        self._waiting[tenant] = line
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the place was granted just as the caller was cancelled
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            tenant, line = next(iter(self._waiting.items()))
            turn = line.popleft()
            del self._waiting[tenant]
            if line:
                self._waiting[tenant] = line  # after all other tenants
            if not turn.done():  # a cancelled caller's turn is done
                turn.set_result(None)
                return
        self._free += 1
