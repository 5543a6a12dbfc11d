"""The tables of documents and the statements on them; the migrations of each engine create the tables."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    Table,
    Text,
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

from clarion.stores.sql.engine import Statement

_METADATA: Final = MetaData()
_KEY: Final = ("tenant", "kind", "key")


def _table(name: str, columns: str) -> Table:
    """Declare a table: column names, `:i` for numbers, everything else text."""
    parts = (column.partition(":") for column in columns.split())
    return Table(name, _METADATA, *(Column(column, BigInteger if kind else Text) for column, _, kind in parts))


DOCUMENTS: Final = _table("documents", "tenant kind key version:i removed:i created_ms:i updated_ms:i body")
VERSIONS: Final = _table("document_versions", "tenant kind key version:i updated_ms:i body")
REFERENCES: Final = _table("document_references", "tenant to_kind to_key kind key")
ARTIFACTS: Final = _table("artifacts", "tenant kind key build:i body")
AUDIT: Final = _table(
    "audit",
    "tenant number:i at_ms:i actor_kind actor_id action kind key before after address request_id reason",
)


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
TRAIL: Final = Statement(
    select(*AUDIT.c)
    .where(AUDIT.c.tenant == bindparam("tenant"), AUDIT.c.number > bindparam("after"))
    .order_by(AUDIT.c.number)
    .limit(bindparam("limit", type_=Integer))
)
