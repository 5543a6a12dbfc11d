"""Documents in memory. A commit is checked first and made then, without awaiting in between."""

from collections.abc import Collection
from itertools import accumulate

import msgspec

from clarion.domain.limits import DOCUMENTS_PAGE_BYTES_MAX
from clarion.ports.documents import (
    AuditRow,
    Author,
    Bound,
    Changes,
    Document,
    DocumentKey,
    DocumentPage,
    Expected,
    Put,
    Removal,
    audit_row,
    over,
    stale,
    tenant_of,
)
from clarion.stores.memory.control_state import ControlState


class MemoryDocuments:
    """Implements `ports/documents.py` over the state of a control store."""

    def __init__(self, state: ControlState) -> None:
        self._state = state

    async def read(
        self, keys: Collection[DocumentKey], version: int | None = None, *, removed: bool = False
    ) -> dict[DocumentKey, Document]:
        """Return the newest versions of documents, or the given version of each."""
        found: dict[DocumentKey, Document] = {}
        for key in keys:
            newest = self._state.documents.get(key)
            if newest is None:
                continue
            if version is not None and version != newest.version:
                newest = self._state.document_versions[key].get(version)
            if newest is not None and (removed or version is not None or not newest.removed):
                found[key] = newest
        return found

    async def page(self, tenant: str, kind: str, after: str, limit: int) -> DocumentPage:
        """Return newest versions in the order of their keys, without removed ones."""
        live = sorted((one for one in self._live(tenant, kind) if one.key.key > after), key=lambda one: one.key)
        whole = accumulate(len(one.body.decode()) for one in live)
        fitting = max(1, sum(size <= DOCUMENTS_PAGE_BYTES_MAX for size in whole))
        found = live[: min(limit, fitting)]
        return DocumentPage(found, len(live) > len(found))

    async def referrers(self, keys: Collection[DocumentKey]) -> dict[DocumentKey, frozenset[DocumentKey]]:
        """Return, for each of the keys, the documents that refer to it."""
        return {key: self._referrers(key) for key in keys}

    async def artifacts(self, keys: Collection[DocumentKey]) -> dict[DocumentKey, bytes]:
        """Return what was built of documents, by name."""
        known = self._state.artifacts
        return {key: body for key in keys if (body := known.get(key)) is not None}

    async def commit(
        self, author: Author, changes: Changes, expected: Expected, reason: str = ""
    ) -> dict[DocumentKey, Document]:
        """Store changes together with the tenant's next revision and a row of the audit."""
        state, tenant = self._state, tenant_of(author, changes)
        self._check(expected)
        for bound in changes.bounds:
            self._count(tenant, bound, changes)
        stored = {put.key: self._put(put, changes.at_ms) for put in changes.puts}
        for removal in changes.removals:
            self._remove(removal, changes.at_ms)
        for key, body in changes.artifacts.items():
            if body is None:
                state.artifacts.pop(key, None)
            else:
                state.artifacts[key] = body
        rows = state.audit[tenant]
        rows.append(audit_row(author, changes, len(rows) + 1, reason))
        state.changed(tenant)
        return stored

    async def audit(self, tenant: str, after: int, limit: int) -> list[AuditRow]:
        """Return rows of the audit in their order."""
        return self._state.audit[tenant][after : after + limit]

    def _live(self, tenant: str, kind: str) -> list[Document]:
        every = self._state.documents.values()
        return [one for one in every if one.key[:2] == (tenant, kind) and not one.removed]

    def _referrers(self, key: DocumentKey) -> frozenset[DocumentKey]:
        every = self._state.references.items()
        return frozenset(one for one, refers in every if one.tenant == key.tenant and key[1:] in refers)

    def _check(self, expected: Expected) -> None:
        newest = self._state.documents
        now = {key: one.version for key in expected.versions if (one := newest.get(key)) and not one.removed}
        changed = [key for key, version in expected.versions.items() if now.get(key, 0) != version]
        changed += [key for key, referrers in expected.referrers.items() if self._referrers(key) != referrers]
        if changed:
            raise stale(changed)

    def _count(self, tenant: str, bound: Bound, changes: Changes) -> None:
        there = {one.key for one in self._live(tenant, bound.kind)} | {put.key for put in changes.puts}
        there -= {removal.key for removal in changes.removals}
        if sum(key.kind == bound.kind for key in there) > bound.most:
            raise over(bound)

    def _put(self, put: Put, at_ms: int) -> Document:
        before = self._state.documents.get(put.key)
        if before is not None and put.keep and before.body:
            self._state.document_versions[put.key][before.version] = before
        version, created_ms = (1, at_ms) if before is None else (before.version + 1, before.created_ms)
        stored = self._state.documents[put.key] = Document(put.key, version, put.body, created_ms, at_ms)
        self._state.references[put.key] = put.refers
        return stored

    def _remove(self, removal: Removal, at_ms: int) -> None:
        before = self._state.documents.get(removal.key)
        if before is None:
            return
        body = before.body if removal.keep else b""
        removed = msgspec.structs.replace(before, body=body, updated_ms=at_ms, removed=True)
        self._state.documents[removal.key] = removed
        self._state.references.pop(removal.key, None)
        if not removal.keep:
            self._state.document_versions.pop(removal.key, None)
