"""All endpoints of identity."""

from clarion.identity import routes_keys, routes_user_tokens
from clarion.identity.user_tokens import UserTokens
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.secrets import Vault
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Route


def routes(control: Control, vault: Vault, clock: Clock, telemetry: Telemetry) -> list[Route]:
    """Return the endpoints of API keys and of user tokens; `telemetry` gets the events of the security log."""
    return [
        *routes_keys.routes(control, clock, telemetry),
        *routes_user_tokens.routes(control, UserTokens(vault), clock, telemetry),
    ]
