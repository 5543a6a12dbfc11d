"""The statements on documents."""

from typing import Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)

from clarion.stores.sql.statement import Statement, page_after
from clarion.stores.sql.tables import ARTIFACTS, AUDIT, DOCUMENTS, REFERENCES, VERSIONS

_KEY: Final = ("tenant", "kind", "key")


def _is(table: Table, prefix: str = "") -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a row has the key given; names are prefixed where the statement sets columns, too."""
    return tuple(table.c[name] == bindparam(f"{prefix}{name}") for name in _KEY)


_D: Final = DOCUMENTS.c
_V: Final = VERSIONS.c
COLUMNS: Final = (_D.tenant, _D.kind, _D.key, _D.version, _D.body, _D.created_ms, _D.updated_ms, _D.removed)
_LIVE: Final = and_(_D.tenant == bindparam("tenant"), _D.kind == bindparam("kind"), _D.removed == literal(0, Integer))
_AFTER: Final = and_(_LIVE, _D.key > bindparam("after"))

ONE: Final = Statement(select(*COLUMNS).where(*_is(DOCUMENTS)))
ONE_VERSION: Final = Statement(
    union_all(
        select(*COLUMNS).where(*_is(DOCUMENTS), _D.version == bindparam("version")),
        select(_V.tenant, _V.kind, _V.key, _V.version, _V.body, _D.created_ms, _V.updated_ms, _D.removed)
        .join_from(VERSIONS, DOCUMENTS, and_(*(VERSIONS.c[name] == DOCUMENTS.c[name] for name in _KEY)))
        .where(*_is(VERSIONS), _V.version == bindparam("version")),
    )
)
SIZES: Final = Statement(
    select(func.length(_D.body)).where(_AFTER).order_by(_D.key).limit(bindparam("limit", type_=Integer))
)
_PAGE: Final = select(*COLUMNS).where(_AFTER).order_by(_D.key).limit(bindparam("limit", type_=Integer))
PAGE: Final = Statement(_PAGE)
LARGE_PAGE: Final = Statement(_PAGE, large=True)
COUNT: Final = Statement(select(func.count()).select_from(DOCUMENTS).where(_LIVE))

CREATE: Final = Statement(
    insert(DOCUMENTS).values({column.name: bindparam(column.name) for column in DOCUMENTS.c} | {"removed": 0})
)
KEEP: Final = Statement(
    insert(VERSIONS).from_select(
        [column.name for column in VERSIONS.c],
        select(_D.tenant, _D.kind, _D.key, _D.version, _D.updated_ms, _D.body).where(*_is(DOCUMENTS), _D.body != ""),
    )
)
REPLACE: Final = Statement(
    update(DOCUMENTS)
    .where(*_is(DOCUMENTS, "its_"))
    .values({name: bindparam(name) for name in ("version", "created_ms", "updated_ms", "body")} | {"removed": 0})
)
REMOVE: Final = Statement(
    update(DOCUMENTS).where(*_is(DOCUMENTS, "its_")).values(removed=1, updated_ms=bindparam("updated_ms"))
)
EMPTY: Final = Statement(
    update(DOCUMENTS).where(*_is(DOCUMENTS, "its_")).values(removed=1, updated_ms=bindparam("updated_ms"), body="")
)
FORGET: Final = Statement(delete(VERSIONS).where(*_is(VERSIONS)))
REFER: Final = Statement(insert(REFERENCES))
UNREFER: Final = Statement(delete(REFERENCES).where(*_is(REFERENCES)))

BUILD_FIRST: Final = Statement(
    insert(ARTIFACTS).values({name: bindparam(name) for name in (*_KEY, "body")} | {"build": 1})
)
BUILD_AGAIN: Final = Statement(
    update(ARTIFACTS).where(*_is(ARTIFACTS, "its_")).values(build=ARTIFACTS.c.build + 1, body=bindparam("body"))
)

LAST: Final = Statement(select(func.max(AUDIT.c.number)).where(AUDIT.c.tenant == bindparam("tenant")))
NOTE: Final = Statement(insert(AUDIT))
TRAIL: Final = Statement(page_after(select(*AUDIT.c), AUDIT.c.number))
