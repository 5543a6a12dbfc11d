"""A tenant's brand over HTTP."""

import msgspec

from clarion.control.brand.rules import check_brand
from clarion.domain.template import BRAND_KEY, Brand
from clarion.ports.control_definitions import Definitions
from clarion.ports.web import Call, Reply, Route

_BRAND = msgspec.json.Decoder(Brand)


class _Handlers:
    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    async def put(self, call: Call) -> Reply:
        brand = check_brand(call.body)
        await self._definitions.put(call.caller.tenant, Brand.KIND, BRAND_KEY, msgspec.json.encode(brand))
        return Reply(msgspec.structs.asdict(brand))

    async def get(self, call: Call) -> Reply:
        found = await self._definitions.get(call.caller.tenant, Brand.KIND, BRAND_KEY)
        return Reply(msgspec.structs.asdict(Brand() if found is None else _BRAND.decode(found.body)))


def routes(definitions: Definitions) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(definitions)
    path, tag = "/v1/brand", "brand"
    return [
        Route("PUT", path, do.put, "content:write", "Replace the tenant's brand: its name and design in all templates",
              body=Brand, reply=Brand, tag=tag),
        Route("GET", path, do.get, "content:read", "Get the tenant's brand", reply=Brand, tag=tag),
    ]  # fmt: skip
