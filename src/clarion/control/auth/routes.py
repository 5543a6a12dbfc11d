"""User tokens over HTTP."""

from datetime import datetime
from typing import Annotated

import msgspec

from clarion.control.auth.tokens import UserTokens
from clarion.domain.errors import NotFound
from clarion.domain.limits import USER_TOKEN_TTL_S_DEFAULT, USER_TOKEN_TTL_S_MAX
from clarion.ports.clock import Clock
from clarion.ports.control_users import Users
from clarion.ports.times import shown
from clarion.ports.web import Call, Reply, Route


class TokenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a user token is good for, in seconds."""

    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=USER_TOKEN_TTL_S_MAX)] = USER_TOKEN_TTL_S_DEFAULT


class TokenView(msgspec.Struct, frozen=True):
    """A signed user token."""

    token: str
    expires_at: datetime


class _Handlers:
    def __init__(self, users: Users, tokens: UserTokens, clock: Clock) -> None:
        self._users = users
        self._tokens = tokens
        self._clock = clock

    async def issue(self, call: Call) -> Reply:
        tenant, user_id = call.caller.tenant, call.path["id"]
        ttl_s = (call.body or TokenBody()).ttl_s
        if await self._users.get(tenant, user_id) is None:
            raise NotFound("no such user")
        now_s = self._clock.now_ms() // 1000
        token = self._tokens.issue(tenant, user_id, now_s, ttl_s)
        return Reply(TokenView(token, shown((now_s + ttl_s) * 1000)), status=201)


def routes(users: Users, tokens: UserTokens, clock: Clock) -> list[Route]:
    """Return the endpoints of this area."""
    handlers = _Handlers(users, tokens, clock)
    return [
        Route(
            "POST", "/v1/users/{id}/tokens", handlers.issue, "users:write", "Sign a token for one user's inbox and preferences",
            body=TokenBody, reply=TokenView, status=201, tag="users",
        )
    ]  # fmt: skip
