"""Rows of the audit, added in the transaction of what they tell of."""

from collections.abc import Callable

from clarion.ports.documents import AuditRow
from clarion.stores.sql.document_statements import LAST, NOTE
from clarion.stores.sql.engine import Transaction


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
