"""Who comes back from a provider: found by issuer and subject, and by nothing else.

An address is never enough to get into an account: whoever was invited before may have set its password. It is connected by its owner,
while signed in, or an invitation is accepted at the provider. Somebody new gets an account when groups give a role; its id follows from
issuer and subject, so what a crash left undone is done at the next sign-in.
"""

from hashlib import blake2b
from typing import Any

import msgspec

from clarion.domain.address import email as checked_email
from clarion.domain.address import single_line
from clarion.domain.errors import CallerError, Conflict, InvalidField
from clarion.domain.limits_people import PERSON_NAME_CHARS_MAX, TENANTS_PER_PERSON_MAX
from clarion.domain.person import INVITATION, PERSON_PREFIX, Person, Subject
from clarion.domain.roles import MEMBER_KIND
from clarion.domain.security_events import SecurityEvent
from clarion.identity.callers import person_actor
from clarion.identity.oidc.refusals import Refusal, refused
from clarion.identity.people.links import Links
from clarion.identity.people.members import JOIN, LEAVE, Member, member_of
from clarion.identity.people.sessions import Found, Sessions
from clarion.identity.rules.groups import Membership, aligned, groups_of, roles_of
from clarion.identity.settings import Provider
from clarion.ports.clock import Clock
from clarion.ports.control import Tenants
from clarion.ports.documents import Author, DocumentKey, Documents
from clarion.ports.people import People, PeopleChange
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Call
from clarion.resources.changing import Change, Changing
from clarion.resources.declaration import Action


class Arrivals:
    """Begins sessions of those whom providers vouch for."""

    def __init__(
        self,
        people: People,
        documents: Documents,
        tenants: Tenants,
        sessions: Sessions,
        links: Links,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._people = people
        self._documents = documents
        self._tenants = tenants
        self._changing = Changing(documents, clock)
        self._sessions = sessions
        self._links = links
        self._clock = clock
        self._telemetry = telemetry

    async def arrive(self, provider: Provider, claims: dict[str, Any], invitation: str, call: Call) -> Found:
        """Return the session of whoever the claims are about. Raises `Unauthorized` for somebody who has no place here."""
        issuer, subject = claims["iss"], claims["sub"]
        wanted = await self._wanted(provider, claims)
        person = await self._people.by_subject(issuer, subject)
        link = await self._links.find(invitation, INVITATION) if invitation else None
        if person is None and link is not None:
            if await self._people.by_email(link.email) is not None:
                raise refused(Refusal.TAKEN)
            found = await self._links.accept_anew(link, _name(claims), None, provider.name, call, (issuer, subject))
        elif person is None:
            found = await self._begin_anew(provider, claims, wanted, call)
        else:
            await self._align(provider, person.person_id, wanted, call)
            found = await self._sessions.begin(person, provider.name, call)
        event, known = SecurityEvent.SIGNED_IN, {"person": found.person.person_id, "peer": call.address}
        self._telemetry.security(event, reason=provider.name, **known)
        return found

    async def connect(self, found: Found, claims: dict[str, Any], call: Call) -> None:
        """Let the person who is signed in come by this provider from now on. Raises `Conflict` for a subject that another one has."""
        person, now_ms = found.person, self._clock.now_ms()
        subject = Subject(claims["iss"], claims["sub"], person.person_id)
        change = PeopleChange(
            "", "person.connect", "person", person.person_id, now_ms, subjects=(subject,),
            after=msgspec.json.encode({"issuer": subject.issuer}),
        )  # fmt: skip
        await self._people.commit(self._sessions.author(call, person.person_id, ""), change)
        self._telemetry.security(SecurityEvent.CREDENTIALS_CHANGED, reason="provider", person=person.person_id)

    async def _begin_anew(
        self, provider: Provider, claims: dict[str, Any], wanted: dict[str, str], call: Call
    ) -> Found:
        if not wanted:
            raise refused(Refusal.UNKNOWN)
        issuer, subject, now_ms = claims["iss"], claims["sub"], self._clock.now_ms()
        try:
            address = checked_email(str(claims.get("email", "")), "email")
        except InvalidField:
            raise refused(Refusal.CLAIMS) from None
        if claims.get("email_verified") is not True:
            raise refused(Refusal.CLAIMS)
        if await self._people.by_email(address) is not None:
            raise refused(Refusal.TAKEN)
        digest = blake2b(f"{len(issuer)}:{issuer}{subject}".encode(), digest_size=16).hexdigest()
        person = Person(PERSON_PREFIX + digest, address, _name(claims), now_ms, now_ms)
        await self._align(provider, person.person_id, wanted, call)
        change = PeopleChange(
            "",
            "session.begin",
            "session",
            "",
            now_ms,
            persons=(person,),
            subjects=(Subject(issuer, subject, person.person_id),),
        )
        return await self._sessions.begin(person, provider.name, call, change)

    async def _wanted(self, provider: Provider, claims: dict[str, Any]) -> dict[str, str]:
        """Return the roles that the groups give in tenants that there are."""
        roles = roles_of(groups_of(claims, provider.groups_claim), provider.roles)
        return {tenant: role for tenant, role in roles.items() if await self._tenants.get(tenant) is not None}

    async def _align(self, provider: Provider, person_id: str, wanted: dict[str, str], call: Call) -> None:
        """Let the memberships of a person follow the groups. The last owner of a tenant stays one."""
        now: dict[str, Membership] = {}
        for tenant in await self._people.tenants_of(person_id, TENANTS_PER_PERSON_MAX):
            place = DocumentKey(tenant, MEMBER_KIND, person_id)
            if (document := (await self._documents.read([place])).get(place)) is not None:
                now[tenant] = Membership(*msgspec.structs.astuple(member_of(document)))
        changes = aligned(provider.name, wanted, now)
        for tenant, role in changes.joins.items():
            await self._change(JOIN, tenant, person_id, Member(role, provider.name), provider, call)
        for tenant in changes.leaves:
            await self._change(LEAVE, tenant, person_id, None, provider, call)

    async def _change(
        self, action: Action[Any], tenant: str, person_id: str, body: Member | None, provider: Provider, call: Call
    ) -> None:
        target = DocumentKey(tenant, MEMBER_KIND, person_id)
        author = Author(tenant, person_actor(person_id), call.address)
        reason = f"groups of {provider.name}"
        try:
            await self._changing.change(Change(action, target, body, author, lambda raw: raw, reason=reason))
        except (Conflict, InvalidField) as error:
            self._telemetry.log(
                "warning", "groups_not_followed", tenant=tenant, reason=_reason(error), name=provider.name
            )


def _reason(error: CallerError) -> str:
    return error.code


def _name(claims: dict[str, Any]) -> str:
    """Return the name in claims, an empty one for what is none."""
    name = claims.get("name")
    try:
        return (
            single_line(name.strip()[:PERSON_NAME_CHARS_MAX], "name", PERSON_NAME_CHARS_MAX)
            if isinstance(name, str)
            else ""
        )
    except InvalidField:
        return ""
