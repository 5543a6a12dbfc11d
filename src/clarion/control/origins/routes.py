"""A tenant's allowed origins over HTTP."""

import msgspec

from clarion.domain.origins import ORIGINS_KEY, AllowedOrigins, check_origins
from clarion.ports.control_definitions import Definitions
from clarion.ports.web import Call, Reply, Route


class _Handlers:
    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    async def put(self, call: Call) -> Reply:
        allowed = AllowedOrigins(check_origins(call.body.origins))
        body = msgspec.json.encode(allowed)
        await self._definitions.put(call.caller.tenant, AllowedOrigins.KIND, ORIGINS_KEY, body)
        return Reply(allowed)

    async def get(self, call: Call) -> Reply:
        found = await self._definitions.get(call.caller.tenant, AllowedOrigins.KIND, ORIGINS_KEY)
        return Reply(AllowedOrigins() if found is None else msgspec.json.decode(found.body, type=AllowedOrigins))


def routes(definitions: Definitions) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(definitions)
    path, tag = "/v1/origins", "origins"
    return [
        Route("PUT", path, do.put, "users:write",
              "Replace the origins whose pages may call the API with the tenant's user tokens",
              body=AllowedOrigins, reply=AllowedOrigins, tag=tag),
        Route("GET", path, do.get, "users:read", "Get the tenant's allowed origins", reply=AllowedOrigins, tag=tag),
    ]  # fmt: skip
