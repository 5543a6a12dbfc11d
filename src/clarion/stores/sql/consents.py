"""The consent history of users: a row for every entry of the preferences that changed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import BigInteger, Integer, bindparam, func, select

from clarion.domain.preferences import Change
from clarion.ports.control_users import ConsentRecord
from clarion.stores.sql.engine import Engine, Row, Transaction, first
from clarion.stores.sql.statement import Among, Many, Statement
from clarion.stores.sql.tables import CONSENTS, USERS

_C: Final = CONSENTS.c
_GIVEN: Final = "ordinal:i sequence:i category channel allowed:t until_ms:i"
_SAME: Final = ("tenant", "at_ms", "source")
_WRITE: Final = Many(
    _GIVEN,
    lambda given: given.insert(
        CONSENTS,
        {column.name: bindparam(column.name) if column.name in _SAME else given[column.name] for column in _C},
    ),
)
_LAST: Final = Statement(
    select(_C.ordinal, func.max(_C.sequence))
    .where(_C.tenant == bindparam("tenant"), Among(_C.ordinal, "ordinals"))
    .group_by(_C.ordinal)
)
_ORDINAL: Final = Statement(
    select(USERS.c.ordinal).where(USERS.c.tenant == bindparam("tenant"), USERS.c.user_id == bindparam("user_id"))
)
_PAGE: Final = Statement(
    select(*(_C[name] for name in ConsentRecord.__struct_fields__))
    .where(
        _C.tenant == bindparam("tenant"),
        _C.ordinal == bindparam("ordinal"),
        _C.sequence < bindparam("before", type_=BigInteger),
    )
    .order_by(_C.sequence.desc())
    .limit(bindparam("limit", type_=Integer))
)
_NEWEST: Final = (1 << 63) - 1


class SqlConsents:
    """Implements `ports.control_users.Consents`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def page(self, tenant: str, user_id: str, before: int | None, limit: int) -> list[ConsentRecord] | None:
        """Return changes below a sequence number, newest first; None when there is no such user."""
        found = await first(self._engine.read(tenant, _ORDINAL, tenant=tenant, user_id=user_id))
        if found is None:
            return None
        top = _NEWEST if before is None else before
        rows = await self._engine.read(tenant, _PAGE, tenant=tenant, ordinal=found[0], before=top, limit=limit)
        return [_record(*row) for row in rows]


async def write_changes(
    tx: Transaction,
    tenant: str,
    changed: Sequence[tuple[str, Change]],
    ordinals: Mapping[str, int],
    source: str,
    at_ms: int,
) -> None:
    """Store changes by user id, in the given order. The users' rows are locked, and `ordinals` are theirs."""
    if not changed:
        return
    of_users = sorted({ordinals[user_id] for user_id, _ in changed})
    last: Counter[int] = Counter(dict(await tx.rows(_LAST, tenant=tenant, ordinals=of_users)))
    rows: list[Row] = []
    for user_id, change in changed:
        ordinal = ordinals[user_id]
        last[ordinal] += 1
        rows.append((ordinal, last[ordinal], *change))
    await tx.change_many(_WRITE, rows, tenant=tenant, at_ms=at_ms, source=source)


def _record(
    sequence: int, at_ms: int, category: str, channel: str, allowed: int | None, until_ms: int | None, source: str
) -> ConsentRecord:
    choice = None if allowed is None else bool(allowed)
    return ConsentRecord(sequence, at_ms, category, channel, choice, until_ms, source)
