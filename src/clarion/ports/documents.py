"""The documents of tenants: versioned bodies by kind and key, what they refer to, what was built of them, and the audit of
their changes.

A commit compares the versions that its decision was based on, and stores everything or nothing: bodies, references,
artifacts, the tenant's revision and one row of the audit. It is durable when it returns. Times are Unix milliseconds.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

import msgspec

from clarion.domain.actor import Actor
from clarion.domain.errors import Conflict, Stale


class DocumentKey(NamedTuple):
    """The tenant of a document, its kind, and its key among those of that kind."""

    tenant: str
    kind: str
    key: str


class Document(msgspec.Struct, frozen=True):
    """One version of a document; `body` is JSON. The version is the ETag: it grows with each change, and continues after a
    removal."""

    key: DocumentKey
    version: int
    body: bytes
    created_ms: int
    updated_ms: int
    removed: bool = False


class Put(msgspec.Struct, frozen=True):
    """A body to store as the next version of a document, and the documents it refers to, by kind and key. Unless `keep` is
    set, the body it replaces cannot be read any more."""

    key: DocumentKey
    body: bytes
    refers: frozenset[tuple[str, str]] = frozenset()
    keep: bool = True


class Removal(msgspec.Struct, frozen=True):
    """A document to remove. Unless `keep` is set, none of its versions can be read any more."""

    key: DocumentKey
    keep: bool = True


class Bound(NamedTuple):
    """The greatest number of documents of a kind that a tenant may have; `noun` is their name in the plural."""

    kind: str
    most: int
    noun: str


class Changes(msgspec.Struct, frozen=True):
    """What a decision changes, at `at_ms`: one action on one target, which may change other documents of the tenant, too.

    `artifacts` are what was built of documents, by the name it is read under; None removes one. Replacing one makes no
    version. `before` and `after` are the target for the audit, as JSON without secrets and contacts in clear.
    """

    action: str
    target: DocumentKey
    at_ms: int
    puts: tuple[Put, ...] = ()
    removals: tuple[Removal, ...] = ()
    artifacts: Mapping[DocumentKey, bytes | None] = {}
    bounds: tuple[Bound, ...] = ()
    before: bytes | None = None
    after: bytes | None = None


class Expected(msgspec.Struct, frozen=True):
    """What a decision was based on: the versions of documents, 0 for one that does not exist, and all documents that refer
    to a document."""

    versions: Mapping[DocumentKey, int] = {}
    referrers: Mapping[DocumentKey, frozenset[DocumentKey]] = {}


class Author(msgspec.Struct, frozen=True):
    """Who asks for a commit, from which address and in which request. The tenant of the operator is empty."""

    tenant: str
    actor: Actor
    address: str = ""
    request_id: str = ""


class AuditRow(msgspec.Struct, frozen=True):
    """One row of a tenant's audit. `number` counts the tenant's rows from 1, without gaps."""

    tenant: str
    number: int
    at_ms: int
    actor: Actor
    action: str
    kind: str
    key: str
    before: bytes | None
    after: bytes | None
    address: str
    request_id: str
    reason: str


class AuditFilter(msgspec.Struct, frozen=True):
    """Which rows of the audit are asked for: those of an actor's id, an action, a target's kind and key, from `since_ms` on and
    before `until_ms`. None asks for all."""

    actor: str | None = None
    action: str | None = None
    kind: str | None = None
    key: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


class AuditPage(NamedTuple):
    """Rows of the audit, the newest first. `before` is the number before which to continue, None at the end."""

    rows: list[AuditRow]
    before: int | None


class DocumentPage(NamedTuple):
    """Documents in the order of their keys, and whether there are more."""

    documents: list[Document]
    more: bool


class Documents(Protocol):
    """The documents of all tenants. Reads raise `StoreUnavailable` or `Overloaded` when they cannot be done now."""

    async def read(
        self, keys: Collection[DocumentKey], version: int | None = None, *, removed: bool = False
    ) -> dict[DocumentKey, Document]:
        """Return the newest versions of documents of one tenant, or the given version of each, even of removed ones. What
        does not exist is left out; with `removed`, newest versions of removed documents are returned, too."""
        ...

    async def page(self, tenant: str, kind: str, after: str, limit: int) -> DocumentPage:
        """Return newest versions in the order of their keys, without removed ones: up to `limit`, fewer but at least one
        when their bodies are larger than `DOCUMENTS_PAGE_BYTES_MAX` together."""
        ...

    async def referrers(self, keys: Collection[DocumentKey]) -> dict[DocumentKey, frozenset[DocumentKey]]:
        """Return, for each of the keys of one tenant, the documents that refer to it."""
        ...

    async def artifacts(self, keys: Collection[DocumentKey]) -> dict[DocumentKey, bytes]:
        """Return what was built of documents of one tenant, by name."""
        ...

    async def commit(
        self, author: Author, changes: Changes, expected: Expected, reason: str = ""
    ) -> dict[DocumentKey, Document]:
        """Store changes together with the tenant's next revision and a row of the audit, and return the new versions.
        Raises `Stale` when what was expected is not so any more, `Conflict` over a bound; then nothing is stored."""
        ...

    async def audit(self, tenant: str, after: int, limit: int) -> list[AuditRow]:
        """Return rows of the audit in their order, the operator's for an empty tenant."""
        ...

    async def audit_page(self, tenant: str, wanted: AuditFilter, before: int | None, limit: int) -> AuditPage:
        """Return the rows asked for, the newest first, with numbers below `before` if given: up to `limit`, fewer or even none
        where more than `AUDIT_ROWS_READ_MAX` rows would have to be looked at, or where they are larger than
        `AUDIT_PAGE_BYTES_MAX` together."""
        ...


def tenant_of(author: Author, changes: Changes) -> str:
    """Return the tenant of changes. Raises `ValueError` when they are not all of one tenant that the author may change."""
    keys = [*(put.key for put in changes.puts), *(removal.key for removal in changes.removals), *changes.artifacts]
    given = {key.tenant for key in keys}
    tenant = changes.target.tenant
    if given - {tenant} or author.tenant not in ("", tenant):
        raise ValueError("a commit changes documents of one tenant, its author's")
    return tenant


def audit_row(author: Author, changes: Changes, number: int, reason: str) -> AuditRow:
    """Return the row of the audit that describes changes."""
    target = changes.target
    return AuditRow(
        target.tenant, number, changes.at_ms, author.actor, changes.action, target.kind, target.key, changes.before,
        changes.after, author.address, author.request_id, reason,
    )  # fmt: skip


def over(bound: Bound) -> Conflict:
    """Return the error of a commit over a bound."""
    return Conflict(f"a tenant has at most {bound.most} {bound.noun}")


def stale(changed: Collection[DocumentKey]) -> Stale:
    """Return the error of a commit that was based on versions which are not the newest any more."""
    first = min(changed)
    return Stale(f"the {first.kind} {first.key!r} was changed meanwhile; read it again", keys=tuple(changed))
