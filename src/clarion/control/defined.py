"""Handlers shared by the endpoints of all kinds of definitions: view, get, list and remove."""

from collections.abc import Callable
from typing import Any

import msgspec

from clarion.domain.errors import NotFound
from clarion.domain.times import shown
from clarion.ports.control_definitions import DefinitionRecord, Definitions
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, page_of, page_reply


def view(record: DefinitionRecord) -> dict[str, Any]:
    """Return the API view of a definition: its body, with key, version and times."""
    return {
        "key": record.key,
        "version": record.version,
        **msgspec.json.decode(record.body),
        "created_at": shown(record.created_ms),
        "updated_at": shown(record.updated_ms),
    }


class Reading:
    """Handlers that get, list and remove definitions of a kind; `noun` is its name in errors (`segment`), `shown`
    returns its API view."""

    def __init__(
        self,
        definitions: Definitions,
        kind: str,
        noun: str,
        shown: Callable[[DefinitionRecord], dict[str, Any]] = view,
    ) -> None:
        self._definitions = definitions
        self._kind = kind
        self._noun = noun
        self._shown = shown

    async def record(self, tenant: str, key: str) -> DefinitionRecord:
        """Return the newest version. Raises `NotFound`."""
        record = await self._definitions.get(tenant, self._kind, key)
        if record is None:
            raise NotFound(f"no such {self._noun}")
        return record

    async def get(self, call: Call) -> Reply:
        """Return a reply with the newest version of a definition. Raises `NotFound`."""
        return Reply(self._shown(await self.record(call.caller.tenant, call.path["key"])))

    async def page(self, call: Call) -> Reply:
        """Return a reply with a page of newest versions."""
        (after,), limit = page_of(call.query)
        records = await self._definitions.page(call.caller.tenant, self._kind, after, limit + 1)
        return page_reply(records, limit, lambda record: [record.key], self._shown)

    async def remove(self, call: Call) -> Reply:
        """Remove a definition. Raises `NotFound`."""
        if not await self._definitions.remove(call.caller.tenant, self._kind, call.path["key"]):
            raise NotFound(f"no such {self._noun}")
        return Reply(status=204)

    def routes(self, path: str, reply: Any, read: str, write: str, queries: tuple[Query, ...] = ()) -> list[Route]:
        """Return the endpoints that get, list and remove, under a path such as `/v1/segments`; `read` and `write` are
        scopes, `queries` the query parameters of the endpoint that gets one."""
        tag, one, noun = path.rsplit("/", 1)[1], f"{path}/{{key}}", self._noun
        article = "an" if noun[0] in "aeiou" else "a"
        return [
            Route("GET", path, self.page, read, f"List {noun}s", queries=PAGE_QUERIES, tag=tag),
            Route("GET", one, self.get, read, f"Get {article} {noun}", reply=reply, queries=queries, tag=tag),
            Route("DELETE", one, self.remove, write, f"Remove {article} {noun}", status=204, tag=tag),
        ]
