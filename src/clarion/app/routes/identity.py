"""The routes of API keys, user tokens and tickets, and those of people."""

from clarion.app.wiring.parts import Shared, sessions_of
from clarion.identity import routes as identity_routes
from clarion.identity.routes import Parted
from clarion.ports.web import Route


def routes(parts: Shared) -> list[Route]:
    """Return the routes of API keys, user tokens and tickets, and those of people."""
    return [
        *identity_routes.routes(parts.control, parts.vault, parts.quotas, parts.clock, parts.telemetry),
        *identity_routes.people_routes(parts.control, _people(parts)),
    ]


def _people(parts: Shared) -> Parted:
    config = parts.config
    own = sessions_of(parts), parts.vault, parts.quotas, parts.clock, parts.telemetry
    return Parted(*own, config.public_url, config.sign_in.providers, parts.http)
