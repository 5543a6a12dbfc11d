"""The resource of members: who belongs to a tenant, and with which role.

A member is a document under the id of a person, which refers to its role: so a role stays while somebody has it, and the owners of a
tenant are those who refer to the role of owners. People join by an invitation or by the groups of a provider; here their roles change.
"""

from collections.abc import Collection
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.limits_people import MEMBERS_PER_TENANT_MAX
from clarion.domain.person import Person
from clarion.domain.roles import BUILT_IN, MEMBER_KIND, OWNER, ROLE_KIND
from clarion.identity.people.roles import permissions_of_role
from clarion.identity.rules.grants import check_held, check_owner_left
from clarion.ports.documents import Changes, Document, DocumentKey, Documents, Removal
from clarion.ports.people import People
from clarion.ports.web import Call, Reply, Route
from clarion.resources.changing import Changed, Changing
from clarion.resources.decisions import stored
from clarion.resources.declaration import Action, Facts, Needs, Resource
from clarion.resources.etags import etag
from clarion.resources.pages import cursor_of_keys, page, page_of
from clarion.resources.routes import Handlers, routes_of, view_of


class MemberBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The role of a member: a built-in one or one of the tenant's own."""

    role: str


class Member(msgspec.Struct, frozen=True, omit_defaults=True):
    """A member as stored. `provider` is the identity provider whose groups gave the role, and alone change it."""

    role: str
    provider: str = ""


class MemberView(msgspec.Struct, frozen=True):
    """A member in responses; `key` is the id of the person."""

    key: str
    role: str
    email: str
    name: str
    version: int
    created_at: datetime
    updated_at: datetime
    provider: str = ""


_DECODER: Final = msgspec.json.Decoder(Member)


def member_of(document: Document) -> Member:
    """Return the member that a document holds."""
    return _DECODER.decode(document.body)


def needs(body: MemberBody | Member | None, facts: Facts) -> Needs:
    """Return the roles before and after, and all owners."""
    tenant, current = facts.target.tenant, facts.current
    roles = {body.role} if body is not None else set()
    if current is not None:
        roles.add(member_of(current).role)
    documents = frozenset(DocumentKey(tenant, ROLE_KIND, one) for one in roles - BUILT_IN.keys())
    return Needs(documents, frozenset({DocumentKey(tenant, ROLE_KIND, OWNER)}))


def permitted(facts: Facts, role: str) -> frozenset[str]:
    """Return what a role of the target's tenant permits."""
    return permissions_of_role(role, facts.find(ROLE_KIND, role))


def check_exists(facts: Facts, role: str, field: str = "role") -> None:
    """Raise `InvalidField` for a role that the tenant does not have."""
    if role not in BUILT_IN and facts.find(ROLE_KIND, role) is None:
        raise InvalidField(f"there is no role {role[:100]!r}", field=field, code="unknown_role")


def join(member: Member, facts: Facts, now_ms: int) -> Changes:
    """Return the change that makes somebody a member, or another one. Raises `Conflict` when the last owner would stop being one."""
    check_exists(facts, member.role)
    if member.role != OWNER:
        _check_owners(facts)
    return stored(facts, member, now_ms, refers=((ROLE_KIND, member.role),))


def leave(_body: None, facts: Facts, now_ms: int) -> Changes:
    """Return the change that removes a member. Raises `NotFound`, and `Conflict` for the last owner."""
    if facts.current is None:
        raise NotFound("no such member")
    _check_owners(facts)
    return Changes(f"{MEMBER_KIND}.remove", facts.target, now_ms, removals=(Removal(facts.target),))


JOIN: Final = Action(join, needs)
LEAVE: Final = Action(leave, needs)


def _check_owners(facts: Facts) -> None:
    current = facts.current
    if current is not None and member_of(current).role == OWNER:
        owners = facts.referrers[DocumentKey(facts.target.tenant, ROLE_KIND, OWNER)]
        check_owner_left([one.key for one in owners if one.kind == MEMBER_KIND], facts.target.key)


def _check_put(held: Collection[str], body: MemberBody, facts: Facts, now_ms: int) -> Changes:
    if facts.current is None:
        raise NotFound("no such member; people join by an invitation")
    check_exists(facts, body.role)
    check_held(held, permitted(facts, member_of(facts.current).role), "key")
    check_held(held, permitted(facts, body.role), "role")
    return join(Member(body.role), facts, now_ms)


def _check_removal(held: Collection[str], body: None, facts: Facts, now_ms: int) -> Changes:
    if facts.current is not None:
        check_held(held, permitted(facts, member_of(facts.current).role), "key")
    return leave(body, facts, now_ms)


MEMBERS: Final = Resource(
    MEMBER_KIND,
    "/v1/members/{key}",
    MemberBody,
    MemberView,
    partial(_check_put, frozenset[str]()),
    needs,
    summary="Change the role of a member",
    description="Nobody gives or takes away a role that permits more than their own. A tenant keeps at least one owner.",
    example=MemberBody("content-editor"),
    most=MEMBERS_PER_TENANT_MAX,
)


class MemberHandlers(Handlers):
    """Routes of members, shown with the names of the persons."""

    def __init__(self, documents: Documents, changing: Changing, people: People) -> None:
        super().__init__(MEMBERS, documents, changing)
        self._people = people

    async def put(self, call: Call) -> Reply:
        """Change the role of a member."""
        return await self._shown(await self.store(call, call.body))

    async def get(self, call: Call) -> Reply:
        """Return a member."""
        return await self._shown(await self.read(call.caller.tenant, call.path["key"]))

    async def page(self, call: Call) -> Reply:
        """Return a page of members."""
        (after,), limit = page_of(call.query)
        found, more = await self._documents.page(call.caller.tenant, MEMBER_KIND, after, limit)
        persons = await self._people.persons([one.key.key for one in found])
        shown = [_view(one, persons.get(one.key.key)) for one in found]
        return page(shown, cursor_of_keys([found[-1].key.key]) if more else None)

    async def change(self, call: Call, action: Action[Any], body: Any) -> Changed:
        """Make a change within what the caller holds."""
        held = call.caller.permissions
        if body is None:
            return await super().change(call, Action(partial(_check_removal, held), needs), None)
        return await super().change(call, replace(MEMBERS, check=partial(_check_put, held)).put, body)

    async def _shown(self, document: Document) -> Reply:
        person = await self._people.person(document.key.key)
        return Reply(_view(document, person), headers=etag(document.version))


def _view(document: Document, person: Person | None) -> dict[str, Any]:
    known = {"email": "", "name": ""} if person is None else {"email": person.email, "name": person.name}
    return view_of(document, MemberView) | known


def routes(documents: Documents, changing: Changing, people: People) -> list[Route]:
    """Return the endpoints of members."""
    return routes_of(MemberHandlers(documents, changing, people))
