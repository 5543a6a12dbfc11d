"""The routes of the control plane."""

from clarion.app.wiring.parts import Shared
from clarion.control import routes as control_routes
from clarion.control.providers import health as health_routes
from clarion.control.providers.verify import Verifier
from clarion.ports.web import Route


def routes(parts: Shared) -> list[Route]:
    """Return the routes of a tenant's definitions, and of the health of its accounts."""
    traits = {key: vendor.TRAITS for key, vendor in parts.vendors.items()}
    return [
        *control_routes.routes(
            parts.control,
            parts.vault,
            parts.drafting,
            parts.schemas,
            traits,
            parts.clock,
            parts.store,
            parts.expressions,
            Verifier(parts.vendors, parts.directory, parts.http, parts.smtp, parts.clock, parts.secrets),
            parts.secrets,
            telemetry=parts.telemetry,
        ),
        *health_routes.routes(
            parts.control.providers, parts.account_health, parts.state.history, parts.store, parts.clock
        ),
    ]
