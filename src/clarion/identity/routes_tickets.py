"""The endpoint that gives a user's page a ticket for the gateway."""

from datetime import datetime

import msgspec

from clarion.domain.times import shown
from clarion.identity.tickets import Tickets
from clarion.identity.user_tokens import UserTokens
from clarion.ports.clock import Clock
from clarion.ports.web import Call, Reply, Route


class LiveTicket(msgspec.Struct, frozen=True):
    """A ticket that opens one connection of the gateway, until it expires."""

    ticket: str
    expires_at: datetime


def routes(tokens: UserTokens, tickets: Tickets, clock: Clock) -> list[Route]:
    """Return the endpoint."""

    async def issue(call: Call) -> Reply:
        # The gate has verified the token; here it says until when it is valid, and with which key it was signed.
        token = call.headers["authorization"].partition(" ")[2].strip()
        ticket, expires_ms = tickets.issue(tokens.grant(token, clock.now_ms() // 1000))
        return Reply(LiveTicket(ticket, shown(expires_ms)), status=201)

    return [
        Route(
            "POST", "/v1/live/tickets", issue, "inbox:read", "Get a ticket that opens one socket or event stream of the gateway",
            reply=LiveTicket, status=201, tag="inbox",
        ),
    ]  # fmt: skip
