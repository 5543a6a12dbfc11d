"""Invitations over HTTP: to one's own tenant, and by the operator to any tenant and to the operators.

The link is in the response, for the one who invites to pass on. Links to a new password are made by operators alone: with one
for somebody of several tenants, the owner of one would get into the others.
"""

from datetime import datetime

import msgspec
from msgspec.structs import replace

from clarion.domain.errors import InvalidField, NotFound
from clarion.domain.permissions import WRITE_MEMBERS
from clarion.domain.person import Link
from clarion.domain.roles import BUILT_IN, OWNER, ROLE_KIND
from clarion.domain.times import shown
from clarion.identity.people.links import Links
from clarion.identity.people.roles import permissions_of_role
from clarion.identity.rules.grants import check_held
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.documents import Author
from clarion.ports.people import PeopleChange
from clarion.ports.web import Call, Reply, Route
from clarion.resources.reads import find
from clarion.resources.routes import REASON, author_of, reason_of


class InvitationBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom to invite, and the role: a built-in one or one of the tenant's own."""

    email: str
    role: str = OWNER


class EmailBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom it is for."""

    email: str


class InvitationView(msgspec.Struct, frozen=True, omit_defaults=True):
    """An invitation; `url` is the link, shown once, when it is made."""

    id: str
    email: str
    role: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    url: str = ""


class LinkView(msgspec.Struct, frozen=True):
    """A link, shown once."""

    url: str
    expires_at: datetime


class OperatorView(msgspec.Struct, frozen=True):
    """An operator."""

    id: str
    email: str
    name: str


class _Handlers:
    def __init__(self, control: Control, links: Links, clock: Clock, public_url: str) -> None:
        self._control = control
        self._links = links
        self._clock = clock
        self._url = public_url

    async def invite(self, call: Call) -> Reply:
        tenant, body = call.caller.tenant, call.body
        check_held(call.caller.permissions, await self._permitted(tenant, body.role), "role")
        return await self._made(call, tenant, body.role)

    async def invite_to(self, call: Call) -> Reply:
        tenant = call.path["id"]
        if await self._control.tenants.get(tenant) is None:
            raise NotFound("no such tenant")
        await self._permitted(tenant, call.body.role)
        return await self._made(call, tenant, call.body.role)

    async def invite_operator(self, call: Call) -> Reply:
        return await self._made(call, "", "")

    async def page(self, call: Call) -> Reply:
        return Reply({"data": [self._view(one) for one in await self._links.open_invitations(call.caller.tenant)]})

    async def revoke(self, call: Call) -> Reply:
        await self._links.revoke(author_of(call), call.caller.tenant, call.path["id"], reason_of(call.query))
        return Reply(status=204)

    async def operators(self, _call: Call) -> Reply:
        found = await self._control.people.operators()
        return Reply({"data": [OperatorView(one.person_id, one.email, one.name) for one in found]})

    async def end_operator(self, call: Call) -> Reply:
        person = await self._control.people.person(call.path["id"])
        if person is None or not person.is_operator:
            raise NotFound("no such operator")
        now_ms, person_id = self._clock.now_ms(), person.person_id
        ended = (replace(person, is_operator=False, updated_ms=now_ms),)
        change = PeopleChange("", "operator.remove", "person", person_id, now_ms, persons=ended, ended_of=person_id)
        await self._control.people.commit(author_of(call), change, reason_of(call.query))
        return Reply(status=204)

    async def reset(self, call: Call) -> Reply:
        made = await self._links.make_reset(author_of(call), call.body.email)
        if made is None:
            raise NotFound("nobody has this address", field="email")
        link, token = made
        return Reply(LinkView(f"{self._url}/reset/{token}", shown(link.expires_ms)), status=201)

    async def _permitted(self, tenant: str, role: str) -> frozenset[str]:
        document = None if role in BUILT_IN else await find(self._control.documents, tenant, ROLE_KIND, role)
        if role not in BUILT_IN and document is None:
            raise InvalidField(f"there is no role {role[:100]!r}", field="role", code="unknown_role")
        return permissions_of_role(role, document)

    async def _made(self, call: Call, tenant: str, role: str) -> Reply:
        author = Author(tenant, call.caller.actor, call.address)
        link, token = await self._links.invite(author, call.body.email, tenant, role)
        return Reply(self._view(link, f"{self._url}/invitations/{token}"), status=201)

    def _view(self, link: Link, url: str = "") -> InvitationView:
        at = shown(link.created_ms), shown(link.expires_ms)
        return InvitationView(link.link_id, link.email, link.role, link.created_by, *at, url)


def routes(control: Control, links: Links, clock: Clock, public_url: str) -> list[Route]:
    """Return the endpoints of invitations, and those of operators."""
    do, of_operator = _Handlers(control, links, clock, public_url), "operators"
    return [
        Route("POST", "/v1/invitations", do.invite, WRITE_MEMBERS, "Invite somebody to the tenant; the link is shown once",
              body=InvitationBody, reply=InvitationView, status=201, tag="members"),
        Route("GET", "/v1/invitations", do.page, "members:read", "List open invitations", tag="members"),
        Route("DELETE", "/v1/invitations/{id}", do.revoke, WRITE_MEMBERS, "Revoke an invitation", status=204, queries=(REASON,),
              tag="members"),
        Route("POST", "/v1/tenants/{id}/invitations", do.invite_to, "tenant-members:write",
              "Invite somebody to a tenant; the link is shown once", body=InvitationBody, reply=InvitationView, status=201,
              tag=of_operator),
        Route("GET", "/v1/operators", do.operators, "operators:read", "List people who are operators", tag=of_operator),
        Route("DELETE", "/v1/operators/{id}", do.end_operator, "operators:write", "Let a person be an operator no more",
              status=204, queries=(REASON,), tag=of_operator),
        Route("POST", "/v1/operators/invitations", do.invite_operator, "operators:write",
              "Invite an operator; the link is shown once", body=EmailBody, reply=InvitationView, status=201, tag=of_operator),
        Route("POST", "/v1/operators/resets", do.reset, "operators:write",
              "Make a link with which a person sets a new password; it is shown once", body=EmailBody, reply=LinkView, status=201,
              tag=of_operator),
    ]  # fmt: skip
