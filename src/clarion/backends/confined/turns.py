"""A few places, given to tenants in turn: however much one of them wants, the others wait for one of its jobs at most."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from clarion.domain.errors import Overloaded


class Turns:
    """Hands out `places`. At most `waiting_max` wait for one, `waiting_per_tenant_max` of them for the same tenant; more are
    refused. It belongs to one event loop."""

    def __init__(self, places: int, *, waiting_max: int, waiting_per_tenant_max: int) -> None:
        self._free = places
        self._waiting_max = waiting_max
        self._waiting_per_tenant_max = waiting_per_tenant_max
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # whose turn it is stands first

    @asynccontextmanager
    async def place(self, tenant: str) -> AsyncIterator[None]:
        """Hold a place, when it is the tenant's turn. Raises `Overloaded`."""
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
            raise Overloaded("too many templates are being worked on; try again", retry_after_s=1)
        turn = asyncio.get_running_loop().create_future()
        line.append(turn)
        self._waiting[tenant] = line
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # the place came just as the caller went
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            tenant, line = next(iter(self._waiting.items()))
            turn = line.popleft()
            del self._waiting[tenant]
            if line:
                self._waiting[tenant] = line  # behind the others
            if not turn.done():  # one whose caller has gone is done
                turn.set_result(None)
                return
        self._free += 1
