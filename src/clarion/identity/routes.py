"""All endpoints of identity."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from clarion.domain.own_pages import OwnPages, origin_of
from clarion.identity import routes_keys, routes_tickets, routes_user_tokens
from clarion.identity.oidc import routes as oidc_routes
from clarion.identity.oidc.arrivals import Arrivals
from clarion.identity.oidc.client import ProviderClient
from clarion.identity.people import (
    members,
    roles,
    routes_account,
    routes_invitations,
    routes_links,
    routes_sessions,
    routes_sign_in,
)
from clarion.identity.people.accounts import Accounts
from clarion.identity.people.attempts import Attempts
from clarion.identity.people.forms import Forms
from clarion.identity.people.links import Links
from clarion.identity.people.passwords import Passwords
from clarion.identity.people.routes_sign_in import ProviderLink
from clarion.identity.people.sealed_steps import SealedSteps
from clarion.identity.people.sessions import Sessions
from clarion.identity.settings import Provider
from clarion.identity.tickets import Tickets
from clarion.identity.user_tokens import UserTokens
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.egress import HttpEgress
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


class Parted(NamedTuple):
    """What the endpoints of people are made of, beside the control store."""

    sessions: Sessions
    vault: Vault
    quotas: Quotas
    clock: Clock
    telemetry: Telemetry
    public_url: str
    providers: Sequence[Provider]
    http: Callable[[], HttpEgress]


def people_routes(control: Control, parts: Parted) -> list[Route]:
    """Return the endpoints of roles, members, sessions and invitations, and the pages on which people sign in."""
    sessions, vault, quotas, clock, telemetry, url, given, http = parts
    documents, people, changing = control.documents, control.people, Changing(control.documents, clock)
    steps = SealedSteps(vault, clock)
    accounts = Accounts(people, sessions, Attempts(quotas, clock), Passwords(clock), steps, vault, clock, telemetry)
    links = Links(people, changing, sessions, clock, telemetry)
    forms = Forms(sessions, OwnPages(origin_of(url)))
    providers = [ProviderLink(one.name, one.shown) for one in given]
    egress = http() if given else None
    clients = {} if egress is None else {one.name: ProviderClient(one, egress, clock, telemetry) for one in given}
    arrivals = Arrivals(people, documents, control.tenants, sessions, links, clock, telemetry)
    return [
        *roles.routes(documents, changing),
        *members.routes(documents, changing, people),
        *routes_sessions.routes(sessions, telemetry),
        *routes_invitations.routes(control, links, clock, url),
        *routes_sign_in.routes(accounts, sessions, forms, telemetry, providers),
        *routes_links.routes(links, accounts, people, sessions, forms, providers),
        *routes_account.routes(accounts, sessions, forms, providers),
        *oidc_routes.routes(clients, arrivals, accounts, forms, steps, clock, url),
    ]
