"""Categories over HTTP."""

import msgspec

from clarion.control.categories.rules import check_defaults
from clarion.control.paging import page_of, page_reply
from clarion.domain.address import key
from clarion.domain.channel import Lane
from clarion.domain.content import Category
from clarion.domain.errors import NotFound
from clarion.ports.control_content import Categories
from clarion.ports.pages import PAGE_QUERIES
from clarion.ports.web import Call, Reply, Route


class CategoryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A category. `defaults` says per channel (or `*`) what holds for users who have not said."""

    critical: bool = False
    lane: Lane = Lane.NORMAL
    defaults: dict[str, bool] = {}


class _Handlers:
    def __init__(self, categories: Categories) -> None:
        self._categories = categories

    async def put(self, call: Call) -> Reply:
        body = call.body
        defaults = check_defaults(body.defaults, critical=body.critical)
        category = Category(key(call.path["key"], "key"), body.critical, body.lane, defaults)
        await self._categories.put(call.caller.tenant, category)
        return Reply(category)

    async def get(self, call: Call) -> Reply:
        category = await self._categories.get(call.caller.tenant, call.path["key"])
        if category is None:
            raise NotFound("no such category")
        return Reply(category)

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        categories = await self._categories.page(call.caller.tenant, after, limit + 1)
        return page_reply(categories, limit, lambda category: [category.key], lambda category: category)

    async def remove(self, call: Call) -> Reply:
        if not await self._categories.remove(call.caller.tenant, call.path["key"]):
            raise NotFound("no such category")
        return Reply(status=204)


def routes(categories: Categories) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(categories)
    write, read, tag, one = "content:write", "content:read", "categories", "/v1/categories/{key}"
    return [
        Route("GET", "/v1/categories", do.page, read, "List categories", queries=PAGE_QUERIES, tag=tag),
        Route("PUT", one, do.put, write, "Create or replace a category", body=CategoryBody, reply=Category, tag=tag),
        Route("GET", one, do.get, read, "Get a category", reply=Category, tag=tag),
        Route("DELETE", one, do.remove, write, "Remove a category no template is of", status=204, tag=tag),
    ]  # fmt: skip
