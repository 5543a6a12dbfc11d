"""People in SQL, the same on every engine."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from clarion.domain.person import Link, Person, Session, Subject, comparable
from clarion.ports.documents import Author
from clarion.ports.people import PeopleChange, changed_meanwhile, people_row, taken
from clarion.stores.sql import people_statements as sql
from clarion.stores.sql.audit_rows import add_audit_row
from clarion.stores.sql.engine import Engine, Row, Transaction
from clarion.stores.sql.statement import Query, Statement

_ALL: Final = ""
"""Rows of no tenant are read as those of the operator's level."""


class SqlPeople:
    """Implements `ports/people.py`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def person(self, person_id: str) -> Person | None:
        """Return a person."""
        return await self._one(sql.PERSON, person_id=person_id)

    async def by_email(self, email: str) -> Person | None:
        """Return the person with an address."""
        return await self._one(sql.BY_EMAIL, email_key=comparable(email))

    async def by_subject(self, issuer: str, subject: str) -> Person | None:
        """Return the person who is a subject at an identity provider."""
        return await self._one(sql.BY_SUBJECT, issuer=issuer, subject=subject)

    async def persons(self, person_ids: list[str]) -> dict[str, Person]:
        """Return those of some persons that there are, by id."""
        query = Query(sql.AMONG.where(sql.PERSONS.c.person_id.in_(person_ids)))
        rows = await self._engine.read(_ALL, query) if person_ids else []
        return {one.person_id: one for one in map(_person, rows)}

    async def operators(self) -> list[Person]:
        """Return all operators, by id."""
        return list(map(_person, await self._engine.read(_ALL, sql.OPERATORS)))

    async def tenants_of(self, person_id: str, limit: int) -> list[str]:
        """Return the tenants that a person is a member of."""
        return [tenant for (tenant,) in await self._engine.read(_ALL, sql.TENANTS_OF, person_id=person_id, most=limit)]

    async def session(self, digest: bytes) -> tuple[Session, Person] | None:
        """Return a session and its person."""
        rows = await self._engine.read(_ALL, sql.SESSION, digest=digest)
        width = len(Session.__struct_fields__)
        return (_session(rows[0][:width]), _person(rows[0][width:])) if rows else None

    async def sessions(self, person_id: str) -> list[Session]:
        """Return the sessions of a person, the one that was used last first."""
        return list(map(_session, await self._engine.read(_ALL, sql.SESSIONS_OF, person_id=person_id)))

    async def touch(self, digest: bytes, used_ms: int) -> None:
        """Store when a session was last used."""
        await self._engine.run(_ALL, lambda tx: tx.change(sql.TOUCH, its_digest=digest, new_used_ms=used_ms))

    async def link(self, digest: bytes) -> Link | None:
        """Return a link."""
        rows = await self._engine.read(_ALL, sql.LINK, digest=digest)
        return _link(rows[0]) if rows else None

    async def links(self, kind: str, tenant: str) -> list[Link]:
        """Return the links of a kind to a tenant, the newest first."""
        return list(map(_link, await self._engine.read(_ALL, sql.LINKS_TO, kind=kind, in_tenant=tenant)))

    async def commit(self, author: Author, change: PeopleChange, reason: str = "") -> None:
        """Store a change with its row of the audit."""

        async def work(tx: Transaction) -> None:
            for person in change.persons:
                await _store(tx, person)
            for subject in change.subjects:
                await _add_subject(tx, subject)
            await _take(tx, sql.END, change.ended, "session")
            await _take(tx, sql.USE, change.used, "link")
            if change.ended_of:
                await tx.change(sql.END_OF, person_id=change.ended_of)
            for session in change.sessions:
                await tx.change(sql.ADD_SESSION, **_named(session))
            for link in change.links:
                await tx.change(sql.ADD_LINK, **_named(link))
            await add_audit_row(tx, change.tenant, lambda number: people_row(author, change, number, reason))

        await self._engine.run(change.tenant, work, locked=change.tenant)

    async def forget(self, before_ms: int) -> int:
        """Remove sessions and links whose time is over."""

        async def work(tx: Transaction) -> int:
            sessions = await tx.change(sql.FORGET_SESSIONS, before_ms=before_ms)
            return sessions + await tx.change(sql.FORGET_LINKS, before_ms=before_ms)

        return await self._engine.run(_ALL, work)

    async def _one(self, statement: Statement, **values: Any) -> Person | None:
        rows = await self._engine.read(_ALL, statement, **values)
        return _person(rows[0]) if rows else None


async def _store(tx: Transaction, person: Person) -> None:
    row = {
        **msgspec.structs.asdict(person),
        "email_key": comparable(person.email),
        "is_operator": int(person.is_operator),
        "recovery": msgspec.json.encode(person.recovery).decode(),
    }
    owner = await tx.rows(sql.BY_EMAIL, email_key=row["email_key"])
    if owner and owner[0][0] != person.person_id:
        raise taken("address")
    del row["version"]
    if person.version:
        values = {f"new_{name}": value for name, value in row.items() if name != "person_id"}
        done = await tx.change(sql.SET_PERSON, its_id=person.person_id, its_version=person.version, **values)
    else:
        done = await tx.change(sql.ADD_PERSON, **row)
    if not done:
        raise changed_meanwhile("person")


async def _add_subject(tx: Transaction, subject: Subject) -> None:
    if not await tx.change(sql.ADD_SUBJECT, **msgspec.structs.asdict(subject)):
        raise taken("subject")


async def _take(tx: Transaction, statement: Statement, digests: Sequence[bytes], what: str) -> None:
    """Remove what must be there."""
    for digest in digests:
        if not await tx.change(statement, digest=digest):
            raise changed_meanwhile(what)


def _named(one: Session | Link) -> dict[str, Any]:
    row = msgspec.structs.asdict(one)
    return {"in_tenant" if name == "tenant" else name: value for name, value in row.items()}


def _person(row: Row) -> Person:
    person_id, email, name, created_ms, updated_ms, is_operator, password, totp, totp_step, recovery, version = row
    codes = msgspec.json.decode(recovery, type=tuple[str, ...])
    return Person(
        person_id, email, name, created_ms, updated_ms, bool(is_operator), password, totp, totp_step, codes, version
    )


def _session(row: Row) -> Session:
    session_id, digest = row[1], row[0]
    return Session(session_id, digest, *row[2:])


def _link(row: Row) -> Link:
    return Link(row[1], row[0], *row[2:])
