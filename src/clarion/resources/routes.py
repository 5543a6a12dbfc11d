"""The routes of a resource: get, list, put and remove, with ETags, the conditions on them, and their description."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import msgspec

from clarion.domain.address import key, single_line
from clarion.domain.errors import existing
from clarion.domain.limits import REASON_CHARS_MAX
from clarion.domain.times import shown
from clarion.ports.documents import Author, Document, DocumentKey, Documents
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.audited import audited
from clarion.resources.changing import Change, Changed, Changing
from clarion.resources.decisions import removal
from clarion.resources.declaration import Action, Resource, defaults_of
from clarion.resources.etags import etag, match_of
from clarion.resources.pages import PAGE_QUERIES, cursor_of_keys, page, page_of
from clarion.resources.reads import find

REASON: Final = Query("reason", "Why it is changed, for the audit")


class Handlers:
    """Handlers of the routes of one resource."""

    def __init__(self, resource: Resource[Any], documents: Documents, changing: Changing) -> None:
        self.resource = resource
        self._documents = documents
        self._changing = changing

    async def put(self, call: Call) -> Reply:
        """Store a body."""
        resource, body = self.resource, call.body
        if resource.prepare is not None:
            body = await asyncio.to_thread(resource.prepare, body) if resource.heavy else resource.prepare(body)
        return self.shown(await self.store(call, body))

    async def get(self, call: Call) -> Reply:
        """Return a reply with a document. Raises `NotFound`."""
        return self.shown(await self.read(call.caller.tenant, self.resource.only or call.path["key"]))

    async def page(self, call: Call) -> Reply:
        """Return a reply with a page of documents."""
        (after,), limit = page_of(call.query)
        found, more = await self._documents.page(call.caller.tenant, self.resource.kind, after, limit)
        return page(list(map(self.view, found)), cursor_of_keys([found[-1].key.key]) if more else None)

    async def remove(self, call: Call) -> Reply:
        """Remove a document. Raises `NotFound`, and `Conflict` while others refer to it."""
        await self.change(call, removal(self.resource.name), None)
        return Reply(status=204)

    async def read(self, tenant: str, name: str) -> Document:
        """Return a document, or the default of one that is there without being stored. Raises `NotFound`."""
        found = await find(self._documents, tenant, self.resource.kind, name)
        if found is None and self.resource.default is not None:
            place = DocumentKey(tenant, self.resource.kind, name)
            return Document(place, 0, msgspec.json.encode(self.resource.default), 0, 0)
        return existing(found, self.resource.name)

    async def store(self, call: Call, body: Any) -> Document:
        """Store a body that is prepared already, and return its document. Raises `InvalidField` for a key that is none."""
        key(self._key(call), "key")
        stored = (await self.change(call, self.resource.put, body)).document
        assert stored is not None  # noqa: S101 - it is not removed
        return stored

    async def change(self, call: Call, action: Action[Any], body: Any) -> Changed:
        """Make a change that a call asks for, on the conditions in its headers."""
        resource, caller = self.resource, call.caller
        target = DocumentKey(caller.tenant, resource.kind, self._key(call))
        shown_body = resource.audited or partial(audited, secrets=resource.secrets, contacts=resource.contacts)
        change = Change(
            action, target, body, author_of(call), shown_body, match_of(call.headers), reason_of(call.query)
        )
        return await self._changing.change(change)

    def view(self, document: Document) -> Any:
        """Return what responses show of a document."""
        resource = self.resource
        if resource.shown is not None:
            return resource.shown(document)
        return view_of(document, resource.view, whole=bool(resource.only))

    def shown(self, document: Document) -> Reply:
        """Return a reply with a document and its ETag."""
        return Reply(self.view(document), headers=etag(document.version))

    def _key(self, call: Call) -> str:
        return self.resource.only or call.path["key"]


def view_of(document: Document, view: type[msgspec.Struct], *, whole: bool = False) -> dict[str, Any]:
    """Return the body of a document with its key, version and times, as far as a view has them, and its defaults unless the view
    omits them; a `whole` one always with its defaults."""
    own = {
        "key": document.key.key,
        "version": document.version,
        "created_at": shown(document.created_ms),
        "updated_at": shown(document.updated_ms),
    }
    added = {name: value for name, value in own.items() if name in view.__struct_encode_fields__}
    missing = defaults_of(view) if whole or not view.__struct_config__.omit_defaults else {}
    body: dict[str, Any] = msgspec.json.decode(document.body)
    return missing | body | added


def routes(resource: Resource[Any], documents: Documents, changing: Changing) -> list[Route]:
    """Return the routes of a resource."""
    return routes_of(Handlers(resource, documents, changing))


def routes_of(do: Handlers) -> list[Route]:
    """Return the routes of a resource with its handlers."""
    resource = do.resource
    path, (read, write), noun, tag = resource.path, resource.permissions, resource.name, resource.collection
    which = f"the tenant's {noun}" if resource.only else f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
    found = [
        Route("PUT", path, do.put, write, resource.summary or f"Create or replace {which}", body=resource.body,
              reply=resource.view, limit_bytes=resource.limit_bytes, tag=tag, queries=(REASON,),
              description=resource.description, example=resource.example, media=resource.media, versioned=True),
        Route("GET", path, do.get, read, f"Get {which}", reply=resource.view, tag=tag, queries=resource.queries,
              versioned=True),
    ]  # fmt: skip
    if not resource.only:
        every = path.removesuffix("/{key}")
        found += [
            Route("GET", every, do.page, read, f"List {resource.names}", queries=PAGE_QUERIES, tag=tag),
            Route("DELETE", path, do.remove, write, resource.removal_summary or f"Remove {which}", status=204, tag=tag, queries=(REASON,),
                  versioned=True),
        ]  # fmt: skip
    return found


def reason_of(query: Mapping[str, str]) -> str:
    """Return the reason in a query. Raises `InvalidField`."""
    return single_line(query.get(REASON.name, ""), REASON.name, REASON_CHARS_MAX)


def author_of(call: Call) -> Author:
    """Return who asks for a change."""
    return Author(call.caller.tenant, call.caller.actor, call.address)
