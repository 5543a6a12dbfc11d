"""Finds who calls by the credential of a request."""

import asyncio

from clarion.domain.api_key import is_mistyped
from clarion.domain.errors import Forbidden, Unauthorized
from clarion.domain.networks import contain
from clarion.domain.person import SESSION_TOKEN_PREFIX
from clarion.domain.security_events import SecurityEvent
from clarion.identity.callers import OPERATOR, Callers, caller_of_user
from clarion.identity.key_uses import KeyUses
from clarion.identity.operator_keys import OperatorKeys
from clarion.identity.people.sessions import Sessions
from clarion.identity.user_tokens import UserTokens, check_generation
from clarion.ports.clock import Clock
from clarion.ports.control_keys import Keys
from clarion.ports.directory import Directory
from clarion.ports.secrets import Vault
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Caller


class Identity:
    """Finds the caller of a credential: the operator, a tenant's API key, a user's token or a person's session."""

    def __init__(
        self,
        directory: Directory,
        keys: Keys,
        vault: Vault,
        clock: Clock,
        telemetry: Telemetry,
        operator: OperatorKeys,
        sessions: Sessions,
    ) -> None:
        self._sessions = sessions
        self._callers = Callers(directory)
        self._directory = directory
        self._clock = clock
        self._telemetry = telemetry
        self._tokens = UserTokens(vault)
        self._operator = operator
        self.uses = KeyUses(keys, clock, telemetry)

    async def __call__(self, secret: str, peer: str) -> Caller | None:
        """Return the caller, or None for a credential that is wrong, expired or revoked. `peer` is the client's address, if
        known. Raises `Unauthorized` with a code of its own for a mistyped key, and `Forbidden` for a key that may not be
        used from this address."""
        if secret.startswith(SESSION_TOKEN_PREFIX):
            return await self._sessions.caller(secret)
        now_ms = self._clock.now_ms()
        if self._operator.match(secret, now_ms):
            return OPERATOR
        if secret.count(".") == 2:
            grant = self._tokens.grant(secret, now_ms // 1000)
            check_generation(secret, await self._directory.token_key(grant.tenant), now_ms)
            return caller_of_user(grant)
        caller = await self._callers.of(secret, now_ms)
        if caller is None:
            if is_mistyped(secret):
                raise Unauthorized(
                    "this is no key of Clarion: is it mistyped or cut off?", field="Authorization", code="key_mistyped"
                )
            return None
        if caller.networks and not contain(caller.networks, peer):
            event, address = SecurityEvent.ADDRESS_REFUSED, peer or "an unknown address"
            self._telemetry.security(event, tenant=caller.tenant, key_id=caller.actor.id, peer=peer)
            raise Forbidden(f"the key may not be used from {address}", field="Authorization", code="address_refused")
        self.uses.note(caller, peer, now_ms)
        return caller

    def is_operator(self, secret: str) -> bool:
        """Return whether a secret is a key of the operator."""
        return self._operator.match(secret, self._clock.now_ms())

    async def follow(self) -> None:
        """Take changed keys of the operator and store uses of keys, until the task is cancelled."""
        async with asyncio.TaskGroup() as jobs:
            jobs.create_task(self._operator.follow())
            jobs.create_task(self.uses.follow())

    async def close(self) -> None:
        """Store the uses of keys that are still in memory."""
        await self.uses.close()
