"""User tokens over HTTP."""

from datetime import datetime
from typing import Annotated

import msgspec

from clarion.domain.errors import existing
from clarion.domain.limits import USER_TOKEN_TTL_S_DEFAULT, USER_TOKEN_TTL_S_MAX
from clarion.domain.security_events import SecurityEvent
from clarion.domain.times import shown
from clarion.identity.user_tokens import UserTokens
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Call, Reply, Route


class TokenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The lifetime of a user token, in seconds."""

    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=USER_TOKEN_TTL_S_MAX)] = USER_TOKEN_TTL_S_DEFAULT


class TokenView(msgspec.Struct, frozen=True):
    """A signed user token."""

    token: str
    expires_at: datetime


class TokenKeyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many seconds the tokens issued before stay valid, unless they expire earlier."""

    overlap_s: Annotated[int, msgspec.Meta(ge=0, le=USER_TOKEN_TTL_S_MAX)]


class TokenKeyView(msgspec.Struct, frozen=True):
    """When the last token issued before ends."""

    earlier_valid_until: datetime


class _Handlers:
    def __init__(self, control: Control, tokens: UserTokens, clock: Clock, telemetry: Telemetry) -> None:
        self._users = control.users
        self._tenants = control.tenants
        self._telemetry = telemetry
        self._tokens = tokens
        self._clock = clock

    async def issue(self, call: Call) -> Reply:
        tenant, user_id = call.caller.tenant, call.path["id"]
        ttl_s = (call.body or TokenBody()).ttl_s
        existing(await self._users.get(tenant, user_id), "user")
        now_s = self._clock.now_ms() // 1000
        key = await self._tenants.token_key(tenant)
        token = self._tokens.issue(tenant, user_id, now_s, ttl_s, key.generation)
        return Reply(TokenView(token, shown((now_s + ttl_s) * 1000)), status=201)

    async def rotate_key(self, call: Call) -> Reply:
        tenant = call.caller.tenant
        key = await self._tenants.rotate_token_key(tenant, call.body.overlap_s * 1000)
        self._telemetry.security(SecurityEvent.TOKEN_KEY_ROTATED, tenant=tenant, key_id=call.caller.actor.id)
        return Reply(TokenKeyView(shown(key.previous_until_ms)))


def routes(control: Control, tokens: UserTokens, clock: Clock, telemetry: Telemetry) -> list[Route]:
    """Return the endpoints of this area."""
    handlers = _Handlers(control, tokens, clock, telemetry)
    return [
        Route(
            "POST", "/v1/users/{id}/tokens", handlers.issue, "user-tokens:write", "Sign a token for one user's inbox and preferences",
            body=TokenBody, reply=TokenView, status=201, tag="users",
        ),
        Route(
            "POST", "/v1/users/tokens/rotate-key", handlers.rotate_key, "user-tokens:revoke",
            "Revoke all user tokens issued before, now or after an overlap", body=TokenKeyBody, reply=TokenKeyView, tag="users",
        ),
    ]  # fmt: skip
