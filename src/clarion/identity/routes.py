"""All endpoints of identity."""

from clarion.identity import routes_keys, routes_tickets, routes_user_tokens
from clarion.identity.people import members, roles, routes_sessions
from clarion.identity.people.sessions import Sessions
from clarion.identity.tickets import Tickets
from clarion.identity.user_tokens import UserTokens
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.quotas import Quotas
from clarion.ports.secrets import Vault
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Route
from clarion.resources.changing import Changing


def routes(control: Control, vault: Vault, quotas: Quotas, clock: Clock, telemetry: Telemetry) -> list[Route]:
    """Return the endpoints of API keys, of user tokens and of their tickets; `telemetry` gets the events of the security log."""
    tokens = UserTokens(vault)
    return [
        *routes_keys.routes(control, clock, telemetry),
        *routes_user_tokens.routes(control, tokens, clock, telemetry),
        *routes_tickets.routes(tokens, Tickets(vault, quotas, clock), clock),
    ]


def people_routes(control: Control, sessions: Sessions, clock: Clock, telemetry: Telemetry) -> list[Route]:
    """Return the endpoints of roles, members and sessions."""
    documents = control.documents
    changing = Changing(documents, clock)
    return [
        *roles.routes(documents, changing),
        *members.routes(documents, changing, control.people),
        *routes_sessions.routes(sessions, telemetry),
    ]
