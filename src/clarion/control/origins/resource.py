"""The resource of a tenant's allowed origins."""

from typing import Final

from clarion.domain.origins import ORIGINS_KEY, AllowedOrigins, check_origins
from clarion.domain.security_events import SecurityEvent
from clarion.ports.documents import Changes, Documents
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Call, Reply, Route
from clarion.resources.changing import Changing
from clarion.resources.decisions import stored
from clarion.resources.declaration import Facts, Resource
from clarion.resources.routes import Handlers, routes_of


def check(body: AllowedOrigins, facts: Facts, now_ms: int) -> Changes:
    """Return the origins to store. Raises `InvalidField`."""
    return stored(facts, AllowedOrigins(check_origins(body.origins)), now_ms)


ORIGINS: Final = Resource(
    AllowedOrigins.KIND,
    "/v1/origins",
    AllowedOrigins,
    AllowedOrigins,
    check,
    noun="allowed origins",
    summary="Replace the origins whose pages may call the API with the tenant's user tokens",
    description="An origin is a scheme, a host and a port, or has `*` for one label at the start of the host.",
    example=AllowedOrigins(("https://app.example.com",)),
    only=ORIGINS_KEY,
    default=AllowedOrigins(),
)


class _Handlers(Handlers):
    def __init__(self, documents: Documents, changing: Changing, telemetry: Telemetry) -> None:
        super().__init__(ORIGINS, documents, changing)
        self._telemetry = telemetry

    async def put(self, call: Call) -> Reply:
        """Replace the origins, with a line in the security log."""
        reply = await super().put(call)
        tenant, by = call.caller.tenant, call.caller.actor.id
        self._telemetry.security(SecurityEvent.ORIGINS_CHANGED, tenant=tenant, by=by)
        return reply


def routes(documents: Documents, changing: Changing, telemetry: Telemetry) -> list[Route]:
    """Return the endpoints of this area."""
    return routes_of(_Handlers(documents, changing, telemetry))
