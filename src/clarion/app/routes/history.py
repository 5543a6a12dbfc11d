"""The routes that read what was recorded, the inbox among them."""

from clarion.app.wiring.parts import Shared
from clarion.history import routes as history_routes
from clarion.inbox import routes as inbox_routes
from clarion.inbox import routes_marks, routes_seen, routes_withdraw
from clarion.inbox.worker_marks import Marking
from clarion.ports.web import Route


def routes(parts: Shared) -> list[Route]:
    """Return the routes of history, of the inbox, and of what users saw."""
    inbox, marking = parts.state.inbox, Marking(parts.state.inbox, parts.store)
    return [
        *history_routes.routes(parts.state.history, parts.streams, parts.store, parts.directory, parts.clock),
        *inbox_routes.routes(
            inbox, parts.directory, parts.clock, parts.control.users.touch, marking, parts.inbox_waits
        ),
        *routes_marks.routes(inbox, parts.directory, parts.clock, marking),
        *routes_seen.routes(parts.state.history, parts.streams, parts.store, parts.clock),
        *routes_withdraw.routes(inbox, parts.state.history, parts.streams, parts.store, parts.clock),
    ]
