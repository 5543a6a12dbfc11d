"""A tenant's allowed origins over HTTP."""

import msgspec

from clarion.domain.origins import ORIGINS_KEY, AllowedOrigins, check_origins
from clarion.domain.security_events import SecurityEvent
from clarion.ports.control_definitions import Definitions
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Call, Reply, Route


class _Handlers:
    def __init__(self, definitions: Definitions, telemetry: Telemetry) -> None:
        self._definitions = definitions
        self._telemetry = telemetry

    async def put(self, call: Call) -> Reply:
        allowed = AllowedOrigins(check_origins(call.body.origins))
        body = msgspec.json.encode(allowed)
        tenant, by = call.caller.tenant, call.caller.key_id
        await self._definitions.put(tenant, AllowedOrigins.KIND, ORIGINS_KEY, body)
        self._telemetry.security(SecurityEvent.ORIGINS_CHANGED, tenant=tenant, by=by)
        return Reply(allowed)

    async def get(self, call: Call) -> Reply:
        found = await self._definitions.get(call.caller.tenant, AllowedOrigins.KIND, ORIGINS_KEY)
        return Reply(AllowedOrigins() if found is None else msgspec.json.decode(found.body, type=AllowedOrigins))


def routes(definitions: Definitions, telemetry: Telemetry) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(definitions, telemetry)
    path, tag = "/v1/origins", "origins"
    return [
        Route("PUT", path, do.put, "users:write",
              "Replace the origins whose pages may call the API with the tenant's user tokens",
              body=AllowedOrigins, reply=AllowedOrigins, tag=tag),
        Route("GET", path, do.get, "users:read", "Get the tenant's allowed origins", reply=AllowedOrigins, tag=tag),
    ]  # fmt: skip
