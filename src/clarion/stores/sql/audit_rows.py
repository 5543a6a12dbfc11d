"""Rows of the audit: added in the transaction of what they tell of, and read, the newest first."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import ColumnElement, func, select

from clarion.domain.actor import Actor, ActorKind
from clarion.domain.limits import AUDIT_PAGE_BYTES_MAX, AUDIT_ROWS_READ_MAX
from clarion.ports.documents import AuditFilter, AuditPage, AuditRow
from clarion.stores.sql.document_statements import LAST, NOTE
from clarion.stores.sql.engine import Engine, Row, Transaction
from clarion.stores.sql.statement import Query
from clarion.stores.sql.tables import AUDIT

_A: Final = AUDIT.c
_BYTES: Final = func.coalesce(func.length(_A.before), 0) + func.coalesce(func.length(_A.after), 0)


async def add_audit_row(tx: Transaction, tenant: str, make: Callable[[int], AuditRow]) -> None:
    """Add the row that is made of the next number of a tenant's audit. The transaction holds the tenant for itself."""
    ((last,),) = await tx.rows(LAST, tenant=tenant)
    row = make((last or 0) + 1)
    await tx.change(
        NOTE, tenant=row.tenant, number=row.number, at_ms=row.at_ms, actor_kind=row.actor.kind.value,
        actor_id=row.actor.id, action=row.action, kind=row.kind, key=row.key, before=_text(row.before),
        after=_text(row.after), address=row.address, request_id=row.request_id, reason=row.reason,
    )  # fmt: skip


def _text(body: bytes | None) -> str | None:
    return None if body is None else body.decode()


async def page_of_audit(engine: Engine, tenant: str, wanted: AuditFilter, before: int, limit: int) -> AuditPage:
    """Return the rows asked for with numbers below `before`, within the bounds of a page.

    Numbers have no gaps, so that a range of them bounds how many rows are looked at: no filter needs an index of its own, and
    none makes a page read a tenant's whole audit.
    """
    first = max(1, before - AUDIT_ROWS_READ_MAX)
    which = [_A.tenant == tenant, _A.number < before, *_conditions(wanted)]
    sizes = select(_A.number, _BYTES).where(*which, _A.number >= first).order_by(_A.number.desc()).limit(limit)
    found = [(number, size) for number, size in await engine.read(tenant, Query(sizes, large=True))]
    fitting = _fitting([size for _, size in found])
    if fitting == 0:
        return AuditPage([], first if first > 1 else None)
    down_to = found[fitting - 1][0]
    bodies = select(*_A).where(*which, _A.number >= down_to).order_by(_A.number.desc())
    rows = [audited_row(row) for row in await engine.read(tenant, Query(bodies, large=True))]
    following = down_to if fitting < len(found) or len(found) == limit else first
    return AuditPage(rows, following if following > 1 else None)


def audited_row(row: Row) -> AuditRow:
    """Return a row of the audit as it is stored."""
    tenant, number, at_ms, actor_kind, actor_id, action, kind, key, before, after, *rest = row
    actor = Actor(ActorKind(actor_kind), actor_id)
    return AuditRow(tenant, number, at_ms, actor, action, kind, key, _bytes(before), _bytes(after), *rest)


def _conditions(wanted: AuditFilter) -> list[ColumnElement[bool]]:
    equal = {_A.actor_id: wanted.actor, _A.action: wanted.action, _A.kind: wanted.kind, _A.key: wanted.key}
    found = [column == value for column, value in equal.items() if value is not None]
    if wanted.since_ms is not None:
        found.append(_A.at_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        found.append(_A.at_ms < wanted.until_ms)
    return found


def _fitting(sizes: list[int]) -> int:
    """Return how many of the first rows a page holds."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if count and total > AUDIT_PAGE_BYTES_MAX:
            return count
    return len(sizes)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()
