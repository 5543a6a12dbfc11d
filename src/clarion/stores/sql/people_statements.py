"""The tables of people and the statements on them; the migrations of each engine create the tables.

None has a tenant in its key: a person belongs to the installation. `in_tenant` is the tenant that a session is in, or that a link leads to.
"""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    column,
    delete,
    func,
    literal,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from clarion.domain.roles import MEMBER_KIND
from clarion.stores.sql.statement import Statement
from clarion.stores.sql.tables import DOCUMENTS

_METADATA: Final = MetaData()
_KINDS: Final = {"": Text, "i": BigInteger, "b": LargeBinary}


def _table(name: str, columns: str) -> Table:
    """Declare a table: column names, `:i` for numbers, `:b` for bytes, everything else text."""
    parts = (one.partition(":") for one in columns.split())
    return Table(name, _METADATA, *(Column(name, _KINDS[kind]) for name, _, kind in parts))


PERSONS: Final = _table(
    "persons",
    "person_id email email_key name created_ms:i updated_ms:i is_operator:i password totp:b totp_step:i recovery version:i",
)
SUBJECTS: Final = _table("person_subjects", "issuer subject person_id")
SESSIONS: Final = _table(
    "sessions",
    "digest:b session_id person_id in_tenant method created_ms:i used_ms:i expires_ms:i address agent",
)
LINKS: Final = _table("links", "digest:b link_id kind email in_tenant role created_by created_ms:i expires_ms:i")

_P: Final = PERSONS.c
_S: Final = SESSIONS.c
_L: Final = LINKS.c
_PERSON: Final = tuple(one for one in _P if one.name != "email_key")

PERSON: Final = Statement(select(*_PERSON).where(_P.person_id == bindparam("person_id")))
BY_EMAIL: Final = Statement(select(*_PERSON).where(_P.email_key == bindparam("email_key")))
BY_SUBJECT: Final = Statement(
    select(*_PERSON)
    .join_from(PERSONS, SUBJECTS, SUBJECTS.c.person_id == _P.person_id)
    .where(SUBJECTS.c.issuer == bindparam("issuer"), SUBJECTS.c.subject == bindparam("subject"))
)
OPERATORS: Final = Statement(select(*_PERSON).where(_P.is_operator == literal(1, Integer)).order_by(_P.person_id))
AMONG: Final = select(*_PERSON)
_MEMBER: Final = func.tenants_of_person(bindparam("person_id"), bindparam("most")).table_valued(column("tenant", Text))
TENANTS_OF: Final = Statement(
    select(DOCUMENTS.c.tenant)
    .where(
        # As written in the condition of the index: with values in their place it would not be used.
        DOCUMENTS.c.kind == literal_column(f"'{MEMBER_KIND}'"),
        DOCUMENTS.c.removed == literal_column("0"),
        DOCUMENTS.c.key == bindparam("person_id"),
    )
    .order_by(DOCUMENTS.c.tenant)
    .limit(bindparam("most", type_=Integer)),
    postgresql=select(_MEMBER.c.tenant),
)
SESSION: Final = Statement(
    select(*_S, *_PERSON)
    .join_from(SESSIONS, PERSONS, _S.person_id == _P.person_id)
    .where(_S.digest == bindparam("digest"))
)
SESSIONS_OF: Final = Statement(
    select(*_S).where(_S.person_id == bindparam("person_id")).order_by(_S.used_ms.desc(), _S.session_id)
)
LINK: Final = Statement(select(*_L).where(_L.digest == bindparam("digest")))
LINKS_TO: Final = Statement(
    select(*_L)
    .where(_L.kind == bindparam("kind"), _L.in_tenant == bindparam("in_tenant"))
    .order_by(_L.created_ms.desc(), _L.link_id)
)

ADD_PERSON: Final = Statement(
    insert(PERSONS).values({one.name: bindparam(one.name) for one in _P} | {"version": 1}).on_conflict_do_nothing()
)
_SET: Final[dict[str, Any]] = {
    one.name: bindparam(f"new_{one.name}") for one in _P if one.name not in ("person_id", "version")
}
SET_PERSON: Final = Statement(
    update(PERSONS)
    .where(_P.person_id == bindparam("its_id"), _P.version == bindparam("its_version"))
    .values(**_SET, version=_P.version + 1)
)
ADD_SUBJECT: Final = Statement(insert(SUBJECTS).on_conflict_do_nothing())
ADD_SESSION: Final = Statement(insert(SESSIONS))
ADD_LINK: Final = Statement(insert(LINKS))
TOUCH: Final = Statement(
    update(SESSIONS).where(_S.digest == bindparam("its_digest")).values(used_ms=bindparam("new_used_ms"))
)
END: Final = Statement(delete(SESSIONS).where(_S.digest == bindparam("digest")))
END_OF: Final = Statement(delete(SESSIONS).where(_S.person_id == bindparam("person_id")))
USE: Final = Statement(delete(LINKS).where(_L.digest == bindparam("digest")))
FORGET_SESSIONS: Final = Statement(delete(SESSIONS).where(_S.expires_ms < bindparam("before_ms")))
FORGET_LINKS: Final = Statement(delete(LINKS).where(_L.expires_ms < bindparam("before_ms")))
