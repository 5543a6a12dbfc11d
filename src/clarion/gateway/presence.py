"""Keeps the presence of a gateway's users in the store, and tells users with several connections how many they have."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from clarion.domain.errors import DurabilityError, Overloaded, StoreUnavailable
from clarion.domain.limits_gateway import PRESENCE_RENEW_MS, PRESENCE_ROUND_MS, PRESENCE_TTL_MS, PRESENCE_USERS_MAX
from clarion.gateway.client import Client
from clarion.gateway.hub import Hub
from clarion.gateway.messages import whole
from clarion.ports.presence import Connected, Presence, User
from clarion.ports.telemetry import Telemetry

_FAILED: Final = (Overloaded, StoreUnavailable, DurabilityError)
_RETRY_S: Final = 1.0


class PresenceFrame(msgspec.Struct, frozen=True, tag="presence"):
    """How many connections the user has at all gateways."""

    connections: int


class Told(NamedTuple):
    """The last number, and the clients who know it."""

    connections: int
    clients: frozenset[Client]


class PresenceKeeper:
    """The presence of one gateway's users. Without users a gateway is not recorded, and nothing is done."""

    def __init__(self, store: Presence, gateway: str, hub: Hub, telemetry: Telemetry) -> None:
        self._store = store
        self._gateway = gateway
        self._hub = hub
        self._telemetry = telemetry
        self._awake = asyncio.Event()
        self._changed: dict[User, None] = {}
        """Users whose connections here have changed."""
        self._looked: dict[User, None] = {}
        """Users whose connections elsewhere may have."""
        self._told: dict[User, Told] = {}
        """What users with more than one connection were told."""
        self._is_recorded = self._has_others = False
        self._renew_s = 0.0
        hub.follow(self.changed)

    def changed(self, user: User) -> None:
        """Record that a user has connected or left."""
        self._changed[user] = None
        self._awake.set()

    async def run(self) -> None:
        """Keep presence until the task is cancelled. While the store does not answer, it is tried again."""
        while True:
            await self._wait()
            self._awake.clear()
            pause_s = PRESENCE_ROUND_MS / 1000
            try:
                await self._step()
            except _FAILED as error:
                self._telemetry.log("warning", "gateway_presence_failed", error=str(error))
                self._renew_s, pause_s = 0.0, _RETRY_S
            await asyncio.sleep(pause_s)

    async def close(self) -> None:
        """Take the users out of the store; what it does not answer lapses by itself."""
        if self._is_recorded:
            with suppress(*_FAILED):
                await self._store.withdraw(self._gateway)

    async def _wait(self) -> None:
        if self._changed or self._looked:
            return
        timeout_s = max(0.0, self._renew_s - asyncio.get_running_loop().time()) if self._is_recorded else None
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._awake.wait()

    async def _step(self) -> None:
        await self._renew()
        users = list(islice(self._changed, PRESENCE_USERS_MAX))
        if users and self._is_recorded:
            await self._store.record(self._gateway, [Connected(*user, len(self._hub.of(user))) for user in users])
        for user in users:
            self._changed.pop(user, None)
        others = list(islice(self._looked, PRESENCE_USERS_MAX))
        for user in others:
            del self._looked[user]
        await self._tell([*users, *others])

    async def _renew(self) -> None:
        now_s = asyncio.get_running_loop().time()
        if not len(self._hub):
            if self._is_recorded:
                await self._store.withdraw(self._gateway)
            self._is_recorded = False
        elif now_s >= self._renew_s or not self._is_recorded:
            if not await self._store.renew(self._gateway, PRESENCE_TTL_MS):
                self._changed.update(dict.fromkeys(self._hub.users))
            self._is_recorded = True
            had_others, self._has_others = self._has_others, await self._store.gateways() > 1
            self._renew_s = now_s + PRESENCE_RENEW_MS / 1000
            if had_others or self._has_others:
                self._looked.update(dict.fromkeys(self._hub.users))

    async def _tell(self, users: Sequence[User]) -> None:
        """Tell users how many connections they have, unless they know. One alone needs not be told."""
        totals: Mapping[User, int] = {}
        if self._has_others:
            totals = await self._store.present(users)
        for user in users:
            here = self._hub.of(user)
            self._tell_user(user, here, max(len(here), totals.get(user, 0)))

    def _tell_user(self, user: User, here: Sequence[Client], connections: int) -> None:
        told = self._told.get(user, Told(1, frozenset()))
        knowing = told.clients if told.connections == connections else frozenset()
        greeted = [client for client in here if client.position is not None]
        if connections > 1 or told.connections > 1:
            frame = whole(PresenceFrame(connections))
            for client in greeted:
                if client not in knowing:
                    client.send([frame])
        if connections > 1 and here:
            self._told[user] = Told(connections, frozenset(greeted))
        else:
            self._told.pop(user, None)
        if len(greeted) < len(here) and connections > 1:
            self._looked[user] = None  # those who were not greeted yet are told in a later round
