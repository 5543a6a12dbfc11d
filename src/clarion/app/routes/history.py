"""The routes that read what was recorded, the inbox among them."""

from clarion.app.wiring.parts import Shared
from clarion.history import routes as history_routes
from clarion.inbox import routes as inbox_routes
from clarion.inbox import routes_seen
from clarion.ports.web import Route


def routes(parts: Shared) -> list[Route]:
    """Return the routes of history, of the inbox, and of what users saw."""
    return [
        *history_routes.routes(parts.state.history, parts.streams, parts.store, parts.directory, parts.clock),
        *inbox_routes.routes(parts.state.inbox, parts.directory, parts.clock, parts.control.users.touch, parts.store),
        *routes_seen.routes(parts.state.history, parts.streams, parts.store, parts.clock),
    ]
