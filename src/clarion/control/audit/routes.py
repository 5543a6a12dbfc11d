"""The audit over HTTP, of a tenant and of the installation. Contacts are masked and secrets digests since the rows were written."""

from datetime import datetime

import msgspec

from clarion.domain.address import single_line
from clarion.domain.limits import KEY_CHARS_MAX
from clarion.domain.permissions import READ_AUDIT
from clarion.domain.times import shown
from clarion.ports.documents import AuditFilter, AuditRow, Documents
from clarion.ports.web import Call, Query, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, Page, cursor_of_keys, not_a_cursor, page, page_of, time_of

_NUMBER_CHARS_MAX = 18
_FILTERS = (
    Query("actor", "Only what the actor with this id did"),
    Query("action", "Only this action, such as `template.publish`"),
    Query("kind", "Only targets of this kind"),
    Query("key", "Only targets with this key"),
    Query("since", "Only from this time on (RFC 3339)"),
    Query("until", "Only before this time (RFC 3339)"),
)


class AuditActor(msgspec.Struct, frozen=True):
    """Who did something."""

    kind: str
    id: str


class AuditTarget(msgspec.Struct, frozen=True):
    """What it was done to."""

    kind: str
    key: str


class AuditRowView(msgspec.Struct, frozen=True):
    """A row of the audit in the API's responses. `number` counts rows from 1, without gaps."""

    number: int
    at: datetime
    actor: AuditActor
    action: str
    target: AuditTarget
    before: msgspec.Raw
    after: msgspec.Raw
    address: str
    request_id: str
    reason: str


class _Handlers:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def of_tenant(self, call: Call) -> Reply:
        return await self._page(call.caller.tenant, call.query)

    async def of_installation(self, call: Call) -> Reply:
        return await self._page("", call.query)

    async def _page(self, tenant: str, query: dict[str, str]) -> Reply:
        (cursor,), limit = page_of(query)
        found = await self._documents.audit_page(tenant, _filter(query), _number(cursor), limit)
        following = None if found.before is None else cursor_of_keys([str(found.before)])
        return page([_view(row) for row in found.rows], following)


def _filter(query: dict[str, str]) -> AuditFilter:
    names = ("actor", "action", "kind", "key")
    equal = {name: single_line(query[name], name, KEY_CHARS_MAX) for name in names if name in query}
    return AuditFilter(**equal, since_ms=time_of(query, "since"), until_ms=time_of(query, "until"))


def _number(cursor: str) -> int | None:
    """Return the number that a cursor holds, None at the start. Raises `InvalidField`."""
    if not cursor:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= _NUMBER_CHARS_MAX):
        raise not_a_cursor()
    return int(cursor)


def _view(row: AuditRow) -> AuditRowView:
    return AuditRowView(
        row.number, shown(row.at_ms), AuditActor(row.actor.kind.value, row.actor.id), row.action,
        AuditTarget(row.kind, row.key), _json(row.before), _json(row.after), row.address, row.request_id, row.reason,
    )  # fmt: skip


def _json(body: bytes | None) -> msgspec.Raw:
    return msgspec.Raw(b"null" if body is None else body)


def routes(documents: Documents) -> list[Route]:
    """Return the endpoints of the audit."""
    do, queries = _Handlers(documents), (*_FILTERS, *PAGE_QUERIES)
    about = "The newest rows come first. A page may hold fewer rows than asked for, even none, while `next` says that there are more."
    return [
        Route("GET", "/v1/audit", do.of_tenant, READ_AUDIT, "Read the audit", reply=Page[AuditRowView],
              queries=queries, tag="audit", description=about),
        Route("GET", "/v1/operators/audit", do.of_installation, "operator-audit:read", "Read the audit of the installation",
              reply=Page[AuditRowView], queries=queries, tag="audit", description=about),
    ]  # fmt: skip
