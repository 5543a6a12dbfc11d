"""People in memory. A commit is checked first and made then, without awaiting in between."""

from msgspec.structs import replace

from clarion.domain.person import Link, Person, Session, comparable
from clarion.domain.roles import MEMBER_KIND
from clarion.ports.documents import Author
from clarion.ports.people import PeopleChange, changed_meanwhile, people_row, taken
from clarion.stores.memory.control_state import ControlState


class MemoryPeople:
    """Implements `ports/people.py` over the state of a control store."""

    def __init__(self, state: ControlState) -> None:
        self._state = state

    async def person(self, person_id: str) -> Person | None:
        """Return a person."""
        return self._state.persons.get(person_id)

    async def by_email(self, email: str) -> Person | None:
        """Return the person with an address."""
        return self._having(email)

    async def by_subject(self, issuer: str, subject: str) -> Person | None:
        """Return the person who is a subject at an identity provider."""
        person_id = self._state.subjects.get((issuer, subject))
        return None if person_id is None else self._state.persons[person_id]

    async def persons(self, person_ids: list[str]) -> dict[str, Person]:
        """Return those of some persons that there are, by id."""
        known = self._state.persons
        return {one: known[one] for one in person_ids if one in known}

    async def operators(self) -> list[Person]:
        """Return all operators, by id."""
        return [one for _, one in sorted(self._state.persons.items()) if one.is_operator]

    async def tenants_of(self, person_id: str, limit: int) -> list[str]:
        """Return the tenants that a person is a member of."""
        every = self._state.documents.values()
        found = [one.key.tenant for one in every if one.key[1:] == (MEMBER_KIND, person_id) and not one.removed]
        return sorted(found)[:limit]

    async def session(self, digest: bytes) -> tuple[Session, Person] | None:
        """Return a session and its person."""
        found = self._state.sessions.get(digest)
        return None if found is None else (found, self._state.persons[found.person_id])

    async def sessions(self, person_id: str) -> list[Session]:
        """Return the sessions of a person, the one that was used last first."""
        found = [one for one in self._state.sessions.values() if one.person_id == person_id]
        return sorted(found, key=lambda one: (-one.used_ms, one.session_id))

    async def touch(self, digest: bytes, used_ms: int) -> None:
        """Store when a session was last used."""
        found = self._state.sessions.get(digest)
        if found is not None:
            self._state.sessions[digest] = replace(found, used_ms=used_ms)

    async def link(self, digest: bytes) -> Link | None:
        """Return a link."""
        return self._state.links.get(digest)

    async def links(self, kind: str, tenant: str) -> list[Link]:
        """Return the links of a kind to a tenant, the newest first."""
        found = [one for one in self._state.links.values() if (one.kind, one.tenant) == (kind, tenant)]
        return sorted(found, key=lambda one: (-one.created_ms, one.link_id))

    async def commit(self, author: Author, change: PeopleChange, reason: str = "") -> None:
        """Store a change with its row of the audit."""
        state = self._state
        self._check(change)
        for person in change.persons:
            state.persons[person.person_id] = replace(person, version=person.version + 1)
        for one in change.subjects:
            state.subjects[one.issuer, one.subject] = one.person_id
        for digest in change.ended:
            del state.sessions[digest]
        for digest in change.used:
            del state.links[digest]
        if change.ended_of:
            kept = {digest: one for digest, one in state.sessions.items() if one.person_id != change.ended_of}
            state.sessions = kept
        state.sessions |= {one.digest: one for one in change.sessions}
        state.links |= {one.digest: one for one in change.links}
        rows = state.audit[change.tenant]
        rows.append(people_row(author, change, len(rows) + 1, reason))

    async def forget(self, before_ms: int) -> int:
        """Remove sessions and links whose time is over."""
        state, count = self._state, len(self._state.sessions) + len(self._state.links)
        state.sessions = {digest: one for digest, one in state.sessions.items() if one.expires_ms >= before_ms}
        state.links = {digest: one for digest, one in state.links.items() if one.expires_ms >= before_ms}
        return count - len(state.sessions) - len(state.links)

    def _check(self, change: PeopleChange) -> None:
        state = self._state
        for person in change.persons:
            known, owner = state.persons.get(person.person_id), self._having(person.email)
            if (known.version if known else 0) != person.version:
                raise changed_meanwhile("person")
            if owner is not None and owner.person_id != person.person_id:
                raise taken("address")
        if any((one.issuer, one.subject) in state.subjects for one in change.subjects):
            raise taken("subject")
        if not state.sessions.keys() >= set(change.ended):
            raise changed_meanwhile("session")
        if not state.links.keys() >= set(change.used):
            raise changed_meanwhile("link")

    def _having(self, email: str) -> Person | None:
        wanted = comparable(email)
        return next((one for one in self._state.persons.values() if comparable(one.email) == wanted), None)
