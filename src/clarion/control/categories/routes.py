"""Categories over HTTP."""

from typing import Final

import msgspec

from clarion.control.categories.rules import CategoryBody, CategoryView, check_category, view
from clarion.domain.address import key
from clarion.domain.content import Category
from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.workflow import Digest, Workflow
from clarion.ports.control_content import Categories
from clarion.ports.control_definitions import Definitions
from clarion.ports.web import Call, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, page_of, page_reply

_WORKFLOW: Final = msgspec.json.Decoder(Workflow)


class _Handlers:
    def __init__(self, categories: Categories, definitions: Definitions) -> None:
        self._categories = categories
        self._definitions = definitions

    async def put(self, call: Call) -> Reply:
        tenant = call.caller.tenant
        category = check_category(key(call.path["key"], "key"), call.body)
        await self._check_digest(tenant, category)
        await self._categories.put(tenant, category)
        return Reply(view(category))

    async def _check_digest(self, tenant: str, category: Category) -> None:
        name = category.rules.digest_workflow
        if name is None:
            return
        found = await self._definitions.get(tenant, Workflow.KIND, name)
        if found is None:
            raise InvalidField(f"no such workflow: {name[:100]}", field="digest_workflow", code="unknown_workflow")
        if not isinstance(_WORKFLOW.decode(found.body).steps[0], Digest):
            raise InvalidField(f"workflow {name} does not begin with a digest step", field="digest_workflow")

    async def get(self, call: Call) -> Reply:
        category = await self._categories.get(call.caller.tenant, call.path["key"])
        if category is None:
            raise NotFound("no such category")
        return Reply(view(category))

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        categories = await self._categories.page(call.caller.tenant, after, limit + 1)
        return page_reply(categories, limit, lambda category: [category.key], view)

    async def remove(self, call: Call) -> Reply:
        if not await self._categories.remove(call.caller.tenant, call.path["key"]):
            raise NotFound("no such category")
        return Reply(status=204)


def routes(categories: Categories, definitions: Definitions) -> list[Route]:
    """Return the endpoints of this area; workflows are looked up among the definitions."""
    do = _Handlers(categories, definitions)
    write, read, tag, one = "content:write", "content:read", "categories", "/v1/categories/{key}"
    return [
        Route("GET", "/v1/categories", do.page, read, "List categories", queries=PAGE_QUERIES, tag=tag),
        Route("PUT", one, do.put, write, "Create or replace a category", body=CategoryBody, reply=CategoryView,
              tag=tag),
        Route("GET", one, do.get, read, "Get a category", reply=CategoryView, tag=tag),
        Route("DELETE", one, do.remove, write, "Remove a category that no template belongs to", status=204, tag=tag),
    ]  # fmt: skip
