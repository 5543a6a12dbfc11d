"""The people who may sign in, of the whole installation: persons, who they are at identity providers, sessions, and links that
can be used once.

Which tenants a person is a member of, and with which role, is in documents of these tenants; `tenants_of` finds them. A commit stores
everything or nothing, together with one row of the audit, and is durable when it returns. Times are Unix milliseconds.
"""

from typing import Protocol

import msgspec

from clarion.domain.errors import Conflict, Stale
from clarion.domain.person import Link, Person, Session, Subject
from clarion.ports.documents import AuditRow, Author


class PeopleChange(msgspec.Struct, frozen=True):
    """What is changed, and the row of the audit of it: one action on one target, in the audit of a tenant or, for an empty one, of the
    operator.

    A person is stored over the version that it was read as (0: it must be new). `ended` are digests of sessions and `used` those of links
    that must still be there, so that of two who use one only the first does. `ended_of` names a person whose sessions all end, but for
    those stored here.
    """

    tenant: str
    action: str
    kind: str
    key: str
    at_ms: int
    persons: tuple[Person, ...] = ()
    subjects: tuple[Subject, ...] = ()
    sessions: tuple[Session, ...] = ()
    links: tuple[Link, ...] = ()
    ended: tuple[bytes, ...] = ()
    ended_of: str = ""
    used: tuple[bytes, ...] = ()
    before: bytes | None = None
    after: bytes | None = None


class People(Protocol):
    """All people of an installation. Reads raise `StoreUnavailable` or `Overloaded` when they cannot be done now."""

    async def person(self, person_id: str) -> Person | None:
        """Return a person."""
        ...

    async def by_email(self, email: str) -> Person | None:
        """Return the person with an address, in any case of its letters."""
        ...

    async def by_subject(self, issuer: str, subject: str) -> Person | None:
        """Return the person who is a subject at an identity provider."""
        ...

    async def persons(self, person_ids: list[str]) -> dict[str, Person]:
        """Return those of some persons that there are, by id."""
        ...

    async def operators(self) -> list[Person]:
        """Return all operators, by id."""
        ...

    async def tenants_of(self, person_id: str, limit: int) -> list[str]:
        """Return the tenants that a person is a member of, in their order, up to a number."""
        ...

    async def session(self, digest: bytes) -> tuple[Session, Person] | None:
        """Return a session, even one that has ended by itself, and its person."""
        ...

    async def sessions(self, person_id: str) -> list[Session]:
        """Return the sessions of a person, the one that was used last first."""
        ...

    async def touch(self, digest: bytes, used_ms: int) -> None:
        """Store when a session was last used. No row of the audit is written."""
        ...

    async def link(self, digest: bytes) -> Link | None:
        """Return a link, even one whose time is over."""
        ...

    async def links(self, kind: str, tenant: str) -> list[Link]:
        """Return the links of a kind to a tenant, the newest first."""
        ...

    async def commit(self, author: Author, change: PeopleChange, reason: str = "") -> None:
        """Store a change. Raises `Stale` when what it needs has changed, `Conflict` for an address or subject that another person has;
        then nothing is stored."""
        ...

    async def forget(self, before_ms: int) -> int:
        """Remove sessions and links whose time ended before a moment, and return how many."""
        ...


def people_row(author: Author, change: PeopleChange, number: int, reason: str) -> AuditRow:
    """Return the row of the audit that describes a change."""
    return AuditRow(
        change.tenant, number, change.at_ms, author.actor, change.action, change.kind, change.key, change.before,
        change.after, author.address, author.request_id, reason,
    )  # fmt: skip


def changed_meanwhile(what: str) -> Stale:
    """Return the error of a commit that was based on what is not so any more."""
    return Stale(f"the {what} was changed meanwhile; try again")


def taken(what: str) -> Conflict:
    """Return the error of a commit whose address or subject another person has."""
    return Conflict(f"another person has this {what}", code=f"{what.replace(' ', '_')}_taken")
