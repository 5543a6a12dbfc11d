"""Tenants, for the operator; a tenant's default preferences, for the tenant."""

from datetime import datetime

import msgspec

from clarion.control.categories.resource import critical_categories
from clarion.control.tenants.rules import check_tenant
from clarion.control.users.preferences import Defaults, canonical
from clarion.domain.address import single_line
from clarion.domain.errors import existing
from clarion.domain.limits import NAME_CHARS_MAX
from clarion.domain.times import shown
from clarion.ports.control import Control, TenantRecord
from clarion.ports.web import Call, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, page_of, page_reply


class TenantBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant."""

    name: str = ""


class TenantView(msgspec.Struct, frozen=True):
    """A tenant in the API's responses."""

    id: str
    name: str
    defaults: Defaults
    created_at: datetime
    updated_at: datetime


class _Handlers:
    def __init__(self, control: Control) -> None:
        self._tenants = control.tenants
        self._documents = control.documents

    async def put(self, call: Call) -> Reply:
        name = single_line(call.body.name, "name", NAME_CHARS_MAX)
        return Reply(_tenant_view(await self._tenants.put(check_tenant(call.path["id"]), name)))

    async def get(self, call: Call) -> Reply:
        return Reply(_tenant_view(await self._get(call.path["id"])))

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        tenants = await self._tenants.page(after, limit + 1)
        return page_reply(tenants, limit, lambda tenant: [tenant.tenant], _tenant_view)

    async def get_defaults(self, call: Call) -> Reply:
        return Reply((await self._get(call.caller.tenant)).defaults)

    async def put_defaults(self, call: Call) -> Reply:
        tenant = call.caller.tenant
        text = canonical(call.body, await critical_categories(self._documents, tenant), field="")
        defaults = msgspec.json.decode(text, type=Defaults)
        await self._tenants.set_defaults(tenant, defaults)
        return Reply(defaults)

    async def _get(self, tenant: str) -> TenantRecord:
        return existing(await self._tenants.get(tenant), "tenant")


def _tenant_view(tenant: TenantRecord) -> TenantView:
    created, updated = shown(tenant.created_ms), shown(tenant.updated_ms)
    return TenantView(tenant.tenant, tenant.name, tenant.defaults, created, updated)


def routes(control: Control) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(control)
    one, tag = "/v1/tenants/{id}", "tenants"
    defaults = "/v1/preferences/defaults"
    return [
        Route("GET", "/v1/tenants", do.page, "tenants:read", "List tenants", queries=PAGE_QUERIES, tag=tag),
        Route("PUT", one, do.put, "tenants:write", "Create or rename a tenant", body=TenantBody, reply=TenantView, tag=tag),
        Route("GET", one, do.get, "tenants:read", "Get a tenant", reply=TenantView, tag=tag),
        Route("GET", defaults, do.get_defaults, "default-preferences:read", "Get the tenant's default preferences",
              reply=Defaults, tag="preferences"),
        Route("PUT", defaults, do.put_defaults, "default-preferences:write", "Replace the tenant's default preferences",
              body=Defaults, reply=Defaults, tag="preferences"),
    ]  # fmt: skip
