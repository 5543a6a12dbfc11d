"""The routes that others call: receipts of providers, and unsubscribe links."""

from clarion.app.wiring.parts import Shared
from clarion.control.unsubscribe import routes as unsubscribe_routes
from clarion.feedback import routes as feedback_routes
from clarion.feedback.worker import Feedback
from clarion.ports.web import Route


def routes(parts: Shared) -> list[Route]:
    """Return the routes of unsubscribe links and of receipts."""
    feedback = Feedback(
        parts.directory,
        parts.vendors,
        parts.state.history,
        parts.control.suppressions,
        parts.store,
        parts.http(),
        parts.clock,
        parts.telemetry,
        parts.secrets,
    )
    return [
        *unsubscribe_routes.routes(parts.control, parts.unsubscribe_links, parts.clock),
        *feedback_routes.routes(feedback, parts.config.public_url),
    ]
