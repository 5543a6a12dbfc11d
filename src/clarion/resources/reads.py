"""Reads of documents, for those who do not offer them."""

from collections.abc import AsyncIterator
from typing import TypeVar

import msgspec

from clarion.domain.limits import PAGE_ITEMS_MAX
from clarion.ports.documents import Document, DocumentKey, Documents

B = TypeVar("B")


async def find(documents: Documents, tenant: str, kind: str, key: str) -> Document | None:
    """Return the newest version of a document, None when it does not exist."""
    place = DocumentKey(tenant, kind, key)
    return (await documents.read([place])).get(place)


async def every(documents: Documents, tenant: str, kind: str) -> AsyncIterator[list[Document]]:
    """Yield all documents of a kind, a page at a time, in the order of their keys."""
    more, after = True, ""
    while more:
        found, more = await documents.page(tenant, kind, after, PAGE_ITEMS_MAX)
        yield found
        after = found[-1].key.key if found else ""


async def find_body(documents: Documents, tenant: str, kind: str, key: str, body: type[B]) -> B | None:
    """Return the body of the newest version of a document, None when it does not exist."""
    found = await find(documents, tenant, kind, key)
    return None if found is None else msgspec.json.decode(found.body, type=body)
