"""Documents in SQL, the same on every engine.

`documents` holds the newest version of each, with its body also after a removal; `document_versions` the bodies before,
`document_references` who refers to whom, `artifacts` what was built. The row of an artifact stays when it is removed, so
that its `build` never repeats: readers who cached one ask for another build.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import accumulate
from typing import Any, Final

from sqlalchemy import and_, or_, select

from clarion.domain.limits import DOCUMENTS_PAGE_BYTES_MAX
from clarion.ports.documents import (
    AuditFilter,
    AuditPage,
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
from clarion.stores.sql import document_statements as sql
from clarion.stores.sql.audit_rows import add_audit_row, audited_row, page_of_audit
from clarion.stores.sql.engine import Engine, Row, Transaction
from clarion.stores.sql.statement import Query
from clarion.stores.sql.tables import ARTIFACTS, DOCUMENTS, REFERENCES

_LARGE_BYTES: Final = 64 * 1024
_KEYS_A_STATEMENT: Final = 1_000
"""PostgreSQL takes 65,535 values with a statement, and planning takes longer the more there are."""


class SqlDocuments:
    """Implements `ports/documents.py`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def read(
        self, keys: Collection[DocumentKey], version: int | None = None, *, removed: bool = False
    ) -> dict[DocumentKey, Document]:
        """Return the newest versions of documents of one tenant, or the given version of each."""
        found: list[Document] = []
        if version is not None:
            for key in keys:
                rows = await self._engine.read(key.tenant, sql.ONE_VERSION, **key._asdict(), version=version)
                found += map(_document, rows)
        elif len(keys) == 1:
            (key,) = keys
            found += map(_document, await self._engine.read(key.tenant, sql.ONE, **key._asdict()))
        else:
            for some in _groups(keys):
                query = select(*sql.COLUMNS).where(_among(some, DOCUMENTS))
                found += map(_document, await self._engine.read(_tenant(some), Query(query, large=True)))
        return {one.key: one for one in found if removed or version is not None or not one.removed}

    async def page(self, tenant: str, kind: str, after: str, limit: int) -> DocumentPage:
        """Return newest versions in the order of their keys, without removed ones."""
        place = {"tenant": tenant, "kind": kind, "after": after}
        sizes = await self._engine.read(tenant, sql.SIZES, **place, limit=limit + 1)
        if not sizes:
            return DocumentPage([], more=False)
        whole = list(accumulate(size for (size,) in sizes))
        fitting = max(1, sum(size <= DOCUMENTS_PAGE_BYTES_MAX for size in whole))
        statement = sql.PAGE if whole[-1] < _LARGE_BYTES else sql.LARGE_PAGE
        rows = await self._engine.read(tenant, statement, **place, limit=min(limit, fitting))
        return DocumentPage(list(map(_document, rows)), len(sizes) > len(rows))

    async def referrers(self, keys: Collection[DocumentKey]) -> dict[DocumentKey, frozenset[DocumentKey]]:
        """Return, for each of the keys of one tenant, the documents that refer to it."""
        reads = [await self._engine.read(_tenant(some), _referring(some)) for some in _groups(keys)]
        return _referrers(keys, [row for rows in reads for row in rows])

    async def artifacts(self, keys: Collection[DocumentKey]) -> dict[DocumentKey, bytes]:
        """Return what was built of documents of one tenant, by name."""
        found: dict[DocumentKey, bytes] = {}
        for some in _groups(keys):
            c, tenant = ARTIFACTS.c, _tenant(some)
            query = select(c.kind, c.key, c.body).where(c.body.is_not(None), _among(some, ARTIFACTS))
            rows = await self._engine.read(tenant, Query(query, large=len(some) > 1))
            found |= {DocumentKey(tenant, kind, key): body.encode() for kind, key, body in rows}
        return found

    async def commit(
        self, author: Author, changes: Changes, expected: Expected, reason: str = ""
    ) -> dict[DocumentKey, Document]:
        """Store changes together with the tenant's next revision and a row of the audit."""
        tenant = tenant_of(author, changes)

        async def work(tx: Transaction) -> dict[DocumentKey, Document]:
            writing = _Writing(tx, tenant, changes.at_ms)
            await writing.check(expected)
            stored = {put.key: await writing.put(put) for put in changes.puts}
            for removal in changes.removals:
                await writing.remove(removal)
            for key, body in changes.artifacts.items():
                await writing.build(key, body)
            for bound in changes.bounds:
                await writing.count(bound)
            await writing.note(author, changes, reason)
            tx.revise(tenant)
            return stored

        return await self._engine.run(tenant, work, locked=tenant)

    async def audit(self, tenant: str, after: int, limit: int) -> list[AuditRow]:
        """Return rows of the audit in their order."""
        return [
            audited_row(row)
            for row in await self._engine.read(tenant, sql.TRAIL, tenant=tenant, after=after, limit=limit)
        ]

    async def audit_page(self, tenant: str, wanted: AuditFilter, before: int | None, limit: int) -> AuditPage:
        """Return the rows asked for, the newest first."""
        if before is None:
            ((last,),) = await self._engine.read(tenant, sql.LAST, tenant=tenant)
            before = (last or 0) + 1
        return await page_of_audit(self._engine, tenant, wanted, before, limit)


class _Writing:
    """The writes of one commit to a tenant's documents."""

    def __init__(self, tx: Transaction, tenant: str, at_ms: int) -> None:
        self._tx = tx
        self._tenant = tenant
        self._at_ms = at_ms

    async def check(self, expected: Expected) -> None:
        """Raise `Stale` when a version or the referrers of a document are not those expected."""
        d, versions = DOCUMENTS.c, dict[DocumentKey, int]()
        for some in _groups(expected.versions):
            query = select(d.kind, d.key, d.version).where(d.removed == 0, _among(some, DOCUMENTS))
            rows = await self._tx.rows(Query(query))
            versions |= {DocumentKey(self._tenant, kind, key): version for kind, key, version in rows}
        changed = [key for key, version in expected.versions.items() if versions.get(key, 0) != version]
        for some in _groups(expected.referrers):
            now = _referrers(some, await self._tx.rows(_referring(some)))
            changed += [key for key in some if now[key] != expected.referrers[key]]
        if changed:
            raise stale(changed)

    async def put(self, put: Put) -> Document:
        """Store the next version of a document."""
        before = await self._newest(put.key)
        created_ms, body = self._at_ms if before is None else before.created_ms, put.body.decode()
        version = 1 if before is None else before.version + 1
        row = {
            **put.key._asdict(),
            "version": version,
            "created_ms": created_ms,
            "updated_ms": self._at_ms,
            "body": body,
        }
        if before is None:
            await self._tx.change(sql.CREATE, **row)
        else:
            if put.keep:
                await self._tx.change(sql.KEEP, **put.key._asdict())
            await self._tx.change(sql.REPLACE, **_matched(row))
        await self._refer(put.key, put.refers, is_new=before is None)
        return Document(put.key, version, put.body, created_ms, self._at_ms)

    async def remove(self, removal: Removal) -> None:
        """Remove a document, which then refers to nothing."""
        key = removal.key._asdict()
        if not removal.keep:
            await self._tx.change(sql.FORGET, **key)
        await self._tx.change(sql.REMOVE if removal.keep else sql.EMPTY, **_matched(key | {"updated_ms": self._at_ms}))
        await self._tx.change(sql.UNREFER, **key)

    async def build(self, key: DocumentKey, body: bytes | None) -> None:
        """Store an artifact as its next build, or remove it."""
        values = {**key._asdict(), "body": None if body is None else body.decode()}
        if not await self._tx.change(sql.BUILD_AGAIN, **_matched(values)) and body is not None:
            await self._tx.change(sql.BUILD_FIRST, **values)

    async def count(self, bound: Bound) -> None:
        """Raise `Conflict` when there are more documents of a kind than allowed."""
        if (await self._tx.rows(sql.COUNT, tenant=self._tenant, kind=bound.kind))[0][0] > bound.most:
            raise over(bound)

    async def note(self, author: Author, changes: Changes, reason: str) -> None:
        """Add the row of the audit."""
        await add_audit_row(self._tx, self._tenant, lambda number: audit_row(author, changes, number, reason))

    async def _newest(self, key: DocumentKey) -> Document | None:
        rows = await self._tx.rows(sql.ONE, **key._asdict())
        return _document(rows[0]) if rows else None

    async def _refer(self, key: DocumentKey, refers: frozenset[tuple[str, str]], *, is_new: bool) -> None:
        if not is_new:
            await self._tx.change(sql.UNREFER, **key._asdict())
        for to_kind, to_key in sorted(refers):
            await self._tx.change(sql.REFER, **key._asdict(), to_kind=to_kind, to_key=to_key)


def _tenant(keys: Collection[DocumentKey]) -> str:
    (tenant,) = {key.tenant for key in keys}
    return tenant


def _matched(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a row to change; those it is found by are named apart."""
    return {f"its_{name}" if name in DocumentKey._fields else name: value for name, value in values.items()}


def _groups(keys: Collection[DocumentKey]) -> Iterator[list[DocumentKey]]:
    """Yield as many keys as one statement may name, sorted."""
    given = sorted(keys)
    for start in range(0, len(given), _KEYS_A_STATEMENT):
        yield given[start : start + _KEYS_A_STATEMENT]


def _among(keys: Collection[DocumentKey], table: Any, prefix: str = "") -> Any:
    """Return the condition that a row is one of the keys of a tenant; `prefix` begins the names of the columns of kind and
    key."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for one in keys:
        by_kind[one.kind].append(one.key)
    kind, key = table.c[f"{prefix}kind"], table.c[f"{prefix}key"]
    found = or_(*(and_(kind == name, key.in_(among)) for name, among in by_kind.items()))
    return and_(table.c.tenant == _tenant(keys), found)


def _referring(keys: Collection[DocumentKey]) -> Query:
    table = REFERENCES
    query = select(table.c.to_kind, table.c.to_key, table.c.kind, table.c.key)
    return Query(query.where(_among(keys, table, "to_")))


def _referrers(keys: Collection[DocumentKey], rows: list[Row]) -> dict[DocumentKey, frozenset[DocumentKey]]:
    found: dict[DocumentKey, set[DocumentKey]] = {key: set() for key in keys}
    if not found:
        return {}
    tenant = _tenant(keys)
    for to_kind, to_key, kind, key in rows:
        found[DocumentKey(tenant, to_kind, to_key)].add(DocumentKey(tenant, kind, key))
    return {key: frozenset(referrers) for key, referrers in found.items()}


def _document(row: Row) -> Document:
    tenant, kind, key, version, body, created_ms, updated_ms, removed = row
    return Document(DocumentKey(tenant, kind, key), version, body.encode(), created_ms, updated_ms, bool(removed))
