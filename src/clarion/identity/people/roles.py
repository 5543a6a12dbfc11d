"""The resource of roles: named sets of permissions that a tenant defines beside the built-in ones."""

from collections.abc import Collection
from functools import partial
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from clarion.domain.address import single_line
from clarion.domain.errors import Conflict
from clarion.domain.limits_people import ROLE_NAME_CHARS_MAX, ROLES_PER_TENANT_MAX
from clarion.domain.roles import ABOUT, BUILT_IN, ROLE_KIND
from clarion.identity.rules.grants import check_held, check_permissions
from clarion.ports.documents import Changes, Document, DocumentKey, Documents
from clarion.ports.web import Call, Reply, Route
from clarion.resources.changing import Changed, Changing
from clarion.resources.decisions import removal, stored
from clarion.resources.declaration import Action, Facts, Resource
from clarion.resources.routes import Handlers, routes_of

_JSON: Final = msgspec.json.Encoder()


class Role(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A role: what its members may do, each permission one of those in docs/permissions.md."""

    permissions: list[str]
    name: str = ""


class RoleView(Role, frozen=True):
    """A role in responses. A built-in one has the version 0 and cannot be changed."""

    key: str = ""
    version: int = 0


_DECODER: Final = msgspec.json.Decoder(Role)


def permissions_of_role(key: str, document: Document | None) -> frozenset[str]:
    """Return what a role permits, none when it does not exist; `document` is the one of a role that is not built in."""
    if key in BUILT_IN:
        return BUILT_IN[key]
    return frozenset() if document is None else frozenset(_DECODER.decode(document.body).permissions)


def _check(held: Collection[str], body: Role, facts: Facts, now_ms: int) -> Changes:
    permissions, name = check_permissions(body.permissions), single_line(body.name, "name", ROLE_NAME_CHARS_MAX)
    check_held(held, permissions, "permissions")
    check_held(held, permissions_of_role("", facts.current), "permissions")
    return stored(facts, Role(permissions, name), now_ms)


def _check_removal(held: Collection[str], body: None, facts: Facts, now_ms: int) -> Changes:
    check_held(held, permissions_of_role("", facts.current), "key")
    return removal(ROLES.name).check(body, facts, now_ms)


ROLES: Final = Resource(
    ROLE_KIND,
    "/v1/roles/{key}",
    Role,
    RoleView,
    partial(_check, frozenset[str]()),
    description="Only what one holds oneself can be given to a role, and a role that permits more cannot be changed.",
    example=Role(["templates:read", "templates:write"], "Translators"),
    most=ROLES_PER_TENANT_MAX,
)


class RoleHandlers(Handlers):
    """Routes of roles: what a caller may change depends on what the caller holds."""

    def __init__(self, documents: Documents, changing: Changing) -> None:
        super().__init__(ROLES, documents, changing)

    async def change(self, call: Call, action: Action[Any], body: Any) -> Changed:
        """Make a change within what the caller holds. Raises `Conflict` for a built-in role."""
        if call.path["key"] in BUILT_IN:
            raise Conflict("a built-in role cannot be changed", field="key", code="built_in")
        held = call.caller.permissions
        if body is None:
            return await super().change(call, replace(action, check=partial(_check_removal, held)), None)
        return await super().change(call, replace(ROLES, check=partial(_check, held)).put, body)

    async def read(self, tenant: str, name: str) -> Document:
        """Return a role, built-in ones too."""
        return _built_in(tenant, name) if name in BUILT_IN else await super().read(tenant, name)

    async def page(self, call: Call) -> Reply:
        """Return a page; the first one begins with the built-in roles, which it has beside its own items."""
        reply = await super().page(call)
        if "after" not in call.query:
            reply.body["data"] = [self.view(_built_in(call.caller.tenant, key)) for key in BUILT_IN] + reply.body[
                "data"
            ]
        return reply


def _built_in(tenant: str, key: str) -> Document:
    body = Role(sorted(BUILT_IN[key]), ABOUT[key])
    return Document(DocumentKey(tenant, ROLE_KIND, key), 0, _JSON.encode(body), 0, 0)


def routes(documents: Documents, changing: Changing) -> list[Route]:
    """Return the endpoints of roles."""
    return routes_of(RoleHandlers(documents, changing))
