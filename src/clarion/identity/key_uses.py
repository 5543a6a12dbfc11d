"""When and from which networks keys are used, and which expire soon: noted by requests in memory, stored in batches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from clarion.domain.limits_processes import (
    KEY_EXPIRES_SOON_MS,
    KEY_EXPIRY_CHECK_MS,
    KEY_USE_EVERY_MS,
    KEY_USES_NOTED_MAX,
    KEY_USES_STORE_MS,
    KEY_WARNINGS_MAX,
)
from clarion.domain.networks import network_of
from clarion.domain.security_events import SecurityEvent
from clarion.domain.times import shown
from clarion.ports.clock import Clock
from clarion.ports.control_keys import Keys, KeyUse
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Caller

_DAY_MS: Final = 24 * 3600 * 1000


class KeyUses:
    """The uses of keys that one process has seen and not stored yet. A key is stored at most once in
    `KEY_USE_EVERY_MS`, whatever it is used for; the first use within `KEY_USES_STORE_MS`."""

    def __init__(self, keys: Keys, clock: Clock, telemetry: Telemetry) -> None:
        self._keys = keys
        self._clock = clock
        self._telemetry = telemetry
        self._noted: dict[tuple[str, str, str], int] = {}
        self._stored_ms: dict[tuple[str, str], int] = {}
        self._warned_ms: int | None = None

    def note(self, caller: Caller, peer: str, now_ms: int) -> None:
        """Note a use by a client's address. Beyond `KEY_USES_NOTED_MAX` keys and addresses, new ones are left out until
        the others are stored."""
        use, noted = (caller.tenant, caller.actor.id, peer), self._noted
        if len(noted) < KEY_USES_NOTED_MAX or use in noted:
            noted[use] = now_ms

    async def follow(self) -> None:
        """Store what is noted and warn of keys that expire soon, until the task is cancelled."""
        while True:
            await asyncio.sleep(KEY_USES_STORE_MS / 1000)
            async with self._logged():
                await self.store()
                await self._warn()

    async def close(self) -> None:
        """Store everything that is noted."""
        async with self._logged():
            await self.store(everything=True)

    async def store(self, *, everything: bool = False) -> None:
        """Store the uses of keys that are due, and record those from new networks. Raises as the store does; the uses
        are then still noted."""
        now_ms = self._clock.now_ms()
        recent = self._stored_ms = {
            key: at_ms for key, at_ms in self._stored_ms.items() if now_ms - KEY_USE_EVERY_MS < at_ms <= now_ms
        }
        due = {use: at_ms for use, at_ms in self._noted.items() if everything or use[:2] not in recent}
        if not due:
            return
        last_ms: dict[tuple[str, str, str], int] = {}
        for (tenant, key_id, peer), at_ms in due.items():
            place = (tenant, key_id, network_of(peer))
            last_ms[place] = max(at_ms, last_ms.get(place, 0))
        new = await self._keys.record_uses([KeyUse(*place, at_ms) for place, at_ms in last_ms.items()])
        for use, at_ms in due.items():
            recent[use[:2]] = now_ms
            if self._noted.get(use) == at_ms:
                del self._noted[use]
        for one in filter(lambda use: use.network, new):
            fields = {"tenant": one.tenant, "key_id": one.key_id, "peer": one.network}
            self._telemetry.security(SecurityEvent.KEY_FROM_NEW_NETWORK, **fields)

    @asynccontextmanager
    async def _logged(self) -> AsyncIterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - what was noted is stored with the next round
            self._telemetry.log("warning", "key_uses_not_stored", error=repr(error))

    async def _warn(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if self._warned_ms is not None and now_ms - self._warned_ms < KEY_EXPIRY_CHECK_MS:
            return
        for key in await self._keys.expiring(KEY_EXPIRES_SOON_MS, _DAY_MS, KEY_WARNINGS_MAX):
            fields = {"tenant": key.tenant, "key_id": key.key_id, "subject": str(shown(key.expires_ms))}
            self._telemetry.security(SecurityEvent.KEY_EXPIRES_SOON, **fields)
        self._warned_ms = now_ms
