"""The routes of API keys, user tokens and tickets."""

from clarion.app.wiring.parts import Shared
from clarion.identity import routes as identity_routes
from clarion.ports.web import Route


def routes(parts: Shared) -> list[Route]:
    """Return the routes of API keys, user tokens and tickets."""
    return identity_routes.routes(parts.control, parts.vault, parts.quotas, parts.clock, parts.telemetry)
