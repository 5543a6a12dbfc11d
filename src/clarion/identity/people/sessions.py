"""Sessions of people: begun, found by their tokens, moved to another tenant and ended.

Nothing of a session is cached. A request with one reads the session with its person, the member and a role of the tenant's own, so
the end of a session and a change of a role count from the next request on.
"""

from collections.abc import Collection
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from clarion.domain.errors import NotFound, Stale, Unauthorized
from clarion.domain.limits_people import (
    AGENT_CHARS_MAX,
    SESSION_MS_MAX,
    SESSION_TOUCH_MS,
    SESSIONS_PER_PERSON_MAX,
    TENANTS_PER_PERSON_MAX,
)
from clarion.domain.person import (
    ID_BYTES,
    SESSION_PREFIX,
    SESSION_TOKEN_PREFIX,
    TOKEN_BYTES,
    Person,
    Session,
    token_digest,
    token_of,
)
from clarion.domain.roles import BUILT_IN, MEMBER_KIND, OWNER, ROLE_KIND
from clarion.identity.callers import caller_of_session, person_actor
from clarion.identity.people.members import member_of
from clarion.identity.people.roles import permissions_of_role
from clarion.ports.clock import Clock
from clarion.ports.control import Tenants
from clarion.ports.documents import Author, DocumentKey, Documents
from clarion.ports.people import People, PeopleChange
from clarion.ports.web import Call, Caller

_TOKEN_CHARS: Final = len(SESSION_TOKEN_PREFIX) + 43
_KIND: Final = "session"
AS_OPERATOR: Final = "operator"
"""In the audit, the role of an operator who entered a tenant without being a member."""


class Found(NamedTuple):
    """A live session with its person."""

    session: Session
    person: Person
    token: str


class Sessions:
    """All sessions of an installation."""

    def __init__(self, people: People, documents: Documents, tenants: Tenants, clock: Clock) -> None:
        self._people = people
        self._documents = documents
        self._tenants = tenants
        self._clock = clock

    async def find(self, token: str) -> Found | None:
        """Return the live session of a token, noting that it was used; None when there is none."""
        if len(token) != _TOKEN_CHARS or not token.startswith(SESSION_TOKEN_PREFIX):
            return None
        found = await self._people.session(token_digest(token))
        now_ms = self._clock.now_ms()
        if found is None or not found[0].is_live(now_ms):
            return None
        if now_ms - found[0].used_ms >= SESSION_TOUCH_MS:
            await self._people.touch(found[0].digest, now_ms)
        return Found(*found, token)

    async def caller(self, token: str) -> Caller | None:
        """Return the caller of a session, with what its person may do in its tenant now."""
        found = await self.find(token)
        if found is None:
            return None
        session, person = found.session, found.person
        role, permitted = await self.role_in(session.tenant, person)
        return caller_of_session(session, person, permitted if role else None)

    async def role_in(self, tenant: str, person: Person) -> tuple[str, frozenset[str]]:
        """Return the role of a person in a tenant and what it permits; an empty one for nobody's tenant, `AS_OPERATOR` for an
        operator who is no member."""
        if not tenant:
            return "", frozenset()
        place = DocumentKey(tenant, MEMBER_KIND, person.person_id)
        document = (await self._documents.read([place])).get(place)
        if document is None:
            return (AS_OPERATOR, BUILT_IN[OWNER]) if person.is_operator else ("", frozenset())
        role = member_of(document).role
        own = DocumentKey(tenant, ROLE_KIND, role)
        defined = {} if role in BUILT_IN else await self._documents.read([own])
        return role, permissions_of_role(role, defined.get(own))

    async def begin(self, person: Person, method: str, call: Call, changed: PeopleChange | None = None) -> Found:
        """Begin a session of somebody who has shown who they are, in their tenant when they have one alone. `changed` is what the sign-in
        changes of the person, stored with it. Raises `Stale` when the person has changed meanwhile."""
        now_ms, token = self._clock.now_ms(), self._token()
        tenants = await self._people.tenants_of(person.person_id, 2)
        tenant = tenants[0] if len(tenants) == 1 and not person.is_operator else ""
        session = Session(
            SESSION_PREFIX + self._clock.entropy(ID_BYTES).hex(), token_digest(token), person.person_id, tenant, method,
            now_ms, now_ms, now_ms + SESSION_MS_MAX, call.address, call.headers.get("user-agent", "")[:AGENT_CHARS_MAX],
        )  # fmt: skip
        others = await self._people.sessions(person.person_id)
        over = [one.digest for one in others if not one.is_live(now_ms)]
        over += [one.digest for one in others if one.digest not in over][SESSIONS_PER_PERSON_MAX - 1 :]
        change = replace(
            changed or PeopleChange(tenant, "session.begin", _KIND, session.session_id, now_ms),
            tenant=tenant, action="session.begin", kind=_KIND, key=session.session_id,
            sessions=(session,), ended=tuple(over), after=_shown(session),
        )  # fmt: skip
        await self._people.commit(self.author(call, person.person_id, tenant), change)
        return Found(session, person, token)

    async def enter(self, found: Found, tenant: str, call: Call, reason: str = "") -> Found:
        """Move a session to a tenant, or out of its own, with another token; the one before ends. Raises `NotFound` for a tenant that the
        person may not enter."""
        role, _ = await self.role_in(tenant, found.person)
        if tenant and (not role or await self._tenants.get(tenant) is None):
            raise NotFound("no such tenant", field="tenant")
        token, now_ms = self._token(), self._clock.now_ms()
        moved = replace(found.session, digest=token_digest(token), tenant=tenant, used_ms=now_ms, address=call.address)
        left = found.session.tenant
        change = PeopleChange(
            tenant or left, "session.enter" if tenant else "session.leave", _KIND, moved.session_id, now_ms,
            sessions=(moved,), ended=(found.session.digest,), before=_shown(found.session), after=_shown(moved, role),
        )  # fmt: skip
        await self._people.commit(self.author(call, found.person.person_id, tenant or left), change, reason)
        return Found(moved, found.person, token)

    async def renew(self, found: Found, call: Call, changed: PeopleChange) -> Found:
        """Store a change of one's own credentials with another token for the session; all other sessions of the person end. Raises
        `Stale`."""
        token, now_ms = self._token(), self._clock.now_ms()
        renewed = replace(found.session, digest=token_digest(token), used_ms=now_ms)
        change = replace(changed, sessions=(renewed,), ended=(found.session.digest,), ended_of=found.person.person_id)
        await self._people.commit(self.author(call, found.person.person_id, changed.tenant), change)
        (person,) = changed.persons
        return Found(renewed, replace(person, version=person.version + 1), token)

    async def end(self, call: Call, ending: Collection[Session], reason: str = "") -> None:
        """End sessions of one person. One that has ended meanwhile is no error."""
        for one in ending:
            change = PeopleChange(
                one.tenant, "session.end", _KIND, one.session_id, self._clock.now_ms(), ended=(one.digest,),
                before=_shown(one),
            )  # fmt: skip
            try:
                await self._people.commit(self.author(call, one.person_id, one.tenant), change, reason)
            except Stale:
                continue

    async def of_call(self, call: Call, token: str | None) -> Found:
        """Return the session of a request that the gate has let in. Raises `Unauthorized` when it ended meanwhile."""
        found = None if token is None else await self.find(token)
        if found is None:
            raise Unauthorized(
                "the session has ended; sign in again", field="Cookie", code="session_ended", counts=False
            )
        return found

    async def live(self, person_id: str) -> list[Session]:
        """Return the live sessions of a person, the one that was used last first."""
        now_ms = self._clock.now_ms()
        return [one for one in await self._people.sessions(person_id) if one.is_live(now_ms)]

    async def tenants(self, person: Person) -> list[str]:
        """Return the tenants that a person is a member of."""
        return await self._people.tenants_of(person.person_id, TENANTS_PER_PERSON_MAX)

    def author(self, call: Call, person_id: str, tenant: str) -> Author:
        """Return a person as the author of a change in the audit of a tenant."""
        return Author(tenant, person_actor(person_id), call.address)

    def _token(self) -> str:
        return SESSION_TOKEN_PREFIX + token_of(self._clock.entropy(TOKEN_BYTES))


def _shown(session: Session, role: str = "") -> bytes:
    """Return what the audit shows of a session."""
    shown = {"person": session.person_id, "tenant": session.tenant, "method": session.method, "agent": session.agent}
    return msgspec.json.encode(shown | ({"role": role} if role else {}))
