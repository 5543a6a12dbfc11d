"""Links that people get once: invitations to a tenant or to the operators, and links to a new password.

An invitation makes a member first and the person afterwards, who has an id that follows from the invitation: after a crash in between
the same link does the rest.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from clarion.domain.address import email as checked_email
from clarion.domain.address import single_line
from clarion.domain.contacts import mask
from clarion.domain.errors import Conflict, NotFound
from clarion.domain.limits_people import (
    INVITATION_MS_MAX,
    OPEN_INVITATIONS_MAX,
    PERSON_NAME_CHARS_MAX,
    RESET_MS_MAX,
)
from clarion.domain.person import (
    ID_BYTES,
    INVITATION,
    LINK_PREFIX,
    PERSON_PREFIX,
    RESET,
    TOKEN_BYTES,
    Link,
    Person,
    Subject,
    comparable,
    token_digest,
    token_of,
)
from clarion.domain.roles import MEMBER_KIND
from clarion.domain.security_events import SecurityEvent
from clarion.identity.callers import person_actor
from clarion.identity.people.members import JOIN, Member
from clarion.identity.people.sessions import Found, Sessions
from clarion.ports.clock import Clock
from clarion.ports.documents import Author, DocumentKey
from clarion.ports.people import People, PeopleChange
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Call
from clarion.resources.changing import Change, Changing

_TOKEN_CHARS: Final = 43
_FORGET_EVERY_MS: Final = 3600 * 1000


class Links:
    """The links of an installation."""

    def __init__(
        self, people: People, changing: Changing, sessions: Sessions, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._people = people
        self._changing = changing
        self._sessions = sessions
        self._clock = clock
        self._telemetry = telemetry
        self._forgotten_ms = 0

    async def invite(self, author: Author, email: str, tenant: str, role: str) -> tuple[Link, str]:
        """Return a new invitation to a tenant with a role, without a tenant to the operators, and its token. Raises `InvalidField`, and
        `Conflict` for too many open ones and for whoever belongs there already."""
        await self._forget()
        address = checked_email(email, "email")
        known = await self._people.by_email(address)
        if known is not None and await self._belongs(known, tenant):
            raise Conflict("the person belongs there already", field="email", code="member_already")
        if len(await self.open_invitations(tenant)) >= OPEN_INVITATIONS_MAX:
            raise Conflict(f"at most {OPEN_INVITATIONS_MAX} invitations can be open", code="too_many_invitations")
        made = self._made(INVITATION, address, tenant, role, author, INVITATION_MS_MAX)
        self._telemetry.security(
            SecurityEvent.PERSON_INVITED,
            subject=role or "operator",
            by=author.actor.id,
            **({"tenant": tenant} if tenant else {}),
        )
        await self._add(author, "invitation.put", *made)
        return made

    async def open_invitations(self, tenant: str) -> list[Link]:
        """Return the invitations to a tenant that can be accepted, the newest first."""
        now_ms = self._clock.now_ms()
        return [one for one in await self._people.links(INVITATION, tenant) if now_ms < one.expires_ms]

    async def revoke(self, author: Author, tenant: str, link_id: str, reason: str = "") -> None:
        """Revoke an invitation to a tenant. Raises `NotFound`."""
        found = next((one for one in await self.open_invitations(tenant) if one.link_id == link_id), None)
        if found is None:
            raise NotFound("no such invitation")
        change = PeopleChange(
            tenant, "invitation.remove", INVITATION, link_id, self._clock.now_ms(), used=(found.digest,), before=_shown(found)
        )  # fmt: skip
        await self._people.commit(author, change, reason)

    async def find(self, token: str, kind: str) -> Link | None:
        """Return the link of a token that can be used now."""
        if len(token) != _TOKEN_CHARS or not token.isascii():
            return None
        found = await self._people.link(token_digest(token))
        return found if found is not None and found.kind == kind and self._clock.now_ms() < found.expires_ms else None

    async def accept_anew(
        self,
        link: Link,
        name: str,
        password: str | None,
        method: str,
        call: Call,
        subject: tuple[str, str] | None = None,
    ) -> Found:
        """Accept an invitation as somebody who was not known before, with the hash of a password or as a `subject` of a provider (its
        issuer and the subject), and return the session. Raises `Conflict` for an address that somebody has already."""
        if await self._people.by_email(link.email) is not None:
            raise Conflict(
                "there is an account with this address; sign in to accept", field="email", code="address_taken"
            )
        now_ms, person_id = self._clock.now_ms(), PERSON_PREFIX + link.link_id.removeprefix(LINK_PREFIX)
        shown = single_line(name.strip(), "name", PERSON_NAME_CHARS_MAX)
        person = Person(person_id, link.email, shown, now_ms, now_ms, not link.tenant, password)
        await self._join(link, person_id, call)
        change = PeopleChange(
            link.tenant, "invitation.accept", INVITATION, link.link_id, now_ms, persons=(person,), used=(link.digest,),
            subjects=() if subject is None else (Subject(*subject, person_id),),
        )  # fmt: skip
        return await self._sessions.begin(person, method, call, change)

    async def accept_as(self, link: Link, found: Found, call: Call) -> None:
        """Accept an invitation as the person who is signed in. Raises `NotFound` when it was for another address."""
        person = found.person
        if comparable(person.email) != comparable(link.email):
            raise NotFound("the invitation is for another address")
        await self._join(link, person.person_id, call)
        persons = () if link.tenant else (replace(person, is_operator=True, updated_ms=self._clock.now_ms()),)
        change = PeopleChange(
            link.tenant, "invitation.accept", INVITATION, link.link_id, self._clock.now_ms(), persons=persons,
            used=(link.digest,),
        )  # fmt: skip
        await self._people.commit(self._sessions.author(call, person.person_id, link.tenant), change)

    async def make_reset(self, author: Author, email: str) -> tuple[Link, str] | None:
        """Return a link to a new password and its token, None for an address that nobody has."""
        await self._forget()
        person = await self._people.by_email(email)
        if person is None:
            return None
        made = self._made(RESET, person.email, "", "", author, RESET_MS_MAX)
        await self._add(author, "reset.put", *made)
        return made

    async def use_reset(self, link: Link, password: str, call: Call) -> None:
        """Set a new password, as a hash; all sessions of the person end. An authenticator stays. Raises `NotFound`, and `Stale` for a link
        that was used meanwhile."""
        person = await self._people.by_email(link.email)
        if person is None:
            raise NotFound("the account is gone")
        now_ms = self._clock.now_ms()
        change = PeopleChange(
            "", "reset.use", "person", person.person_id, now_ms,
            persons=(replace(person, password=password, updated_ms=now_ms),), used=(link.digest,), ended_of=person.person_id,
        )  # fmt: skip
        await self._people.commit(Author("", person_actor(person.person_id), call.address), change)
        self._telemetry.security(SecurityEvent.CREDENTIALS_CHANGED, reason="reset", person=person.person_id)

    async def _belongs(self, person: Person, tenant: str) -> bool:
        role, _ = await self._sessions.role_in(tenant, replace(person, is_operator=False))
        return bool(role) if tenant else person.is_operator

    async def _join(self, link: Link, person_id: str, call: Call) -> None:
        if link.tenant:
            target = DocumentKey(link.tenant, MEMBER_KIND, person_id)
            author = Author(link.tenant, person_actor(person_id), call.address)
            await self._changing.change(Change(JOIN, target, Member(link.role), author, lambda body: body))

    def _made(self, kind: str, email: str, tenant: str, role: str, author: Author, valid_ms: int) -> tuple[Link, str]:
        token, now_ms = token_of(self._clock.entropy(TOKEN_BYTES)), self._clock.now_ms()
        link_id = LINK_PREFIX + self._clock.entropy(ID_BYTES).hex()
        by, ends_ms = author.actor.id, now_ms + valid_ms
        return Link(link_id, token_digest(token), kind, email, tenant, role, by, now_ms, ends_ms), token

    async def _add(self, author: Author, action: str, link: Link, _token: str) -> None:
        change = PeopleChange(
            link.tenant, action, link.kind, link.link_id, link.created_ms, links=(link,), after=_shown(link)
        )  # fmt: skip
        await self._people.commit(author, change)

    async def _forget(self) -> None:
        """Remove links and sessions whose time is over, now and then."""
        now_ms = self._clock.now_ms()
        if now_ms - self._forgotten_ms >= _FORGET_EVERY_MS:
            self._forgotten_ms = now_ms
            await self._people.forget(now_ms)


def _shown(link: Link) -> bytes:
    """Return what the audit shows of a link."""
    return msgspec.json.encode({"email": mask(link.email), "role": link.role or "operator"})
