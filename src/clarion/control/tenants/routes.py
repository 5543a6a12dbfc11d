"""Tenants and their keys, for the operator; a tenant's default preferences, for the tenant."""

from datetime import datetime

import msgspec

from clarion.control.auth.rules import check_scopes
from clarion.control.paging import page_of, page_reply
from clarion.control.tenants.rules import check_expiry, check_tenant
from clarion.control.users.preferences import Defaults, canonical
from clarion.domain.address import single_line
from clarion.domain.errors import NotFound
from clarion.domain.limits import NAME_CHARS_MAX
from clarion.ports.clock import Clock
from clarion.ports.control import Control, KeyRecord, TenantRecord
from clarion.ports.pages import PAGE_QUERIES
from clarion.ports.times import Time, shown, stored
from clarion.ports.web import OPERATOR, Call, Reply, Route


class TenantBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant."""

    name: str = ""


class TenantView(msgspec.Struct, frozen=True):
    """A tenant as the API shows it."""

    id: str
    name: str
    defaults: Defaults
    created_at: datetime
    updated_at: datetime


class KeyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to make. `*` as a scope stands for everything of the tenant."""

    scopes: list[str]
    name: str = ""
    expires_at: Time | None = None


class KeyView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key as the API shows it; `key` is the secret, shown once, when it is made."""

    id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    key: str | None = None


class _Handlers:
    def __init__(self, control: Control, clock: Clock) -> None:
        self._tenants = control.tenants
        self._keys = control.keys
        self._categories = control.categories
        self._clock = clock

    async def put(self, call: Call) -> Reply:
        name = single_line(call.body.name, "name", NAME_CHARS_MAX)
        return Reply(_tenant_view(await self._tenants.put(check_tenant(call.path["id"]), name)))

    async def get(self, call: Call) -> Reply:
        return Reply(_tenant_view(await self._get(call.path["id"])))

    async def page(self, call: Call) -> Reply:
        (after,), limit = page_of(call.query)
        tenants = await self._tenants.page(after, limit + 1)
        return page_reply(tenants, limit, lambda tenant: [tenant.tenant], _tenant_view)

    async def make_key(self, call: Call) -> Reply:
        tenant, body = await self._get(call.path["id"]), call.body
        scopes = check_scopes(body.scopes)
        expires_ms = check_expiry(stored(body.expires_at), self._clock.now_ms())
        name = single_line(body.name, "name", NAME_CHARS_MAX)
        record, secret = await self._keys.create(tenant.tenant, name, scopes, expires_ms)
        return Reply(_key_view(record, secret), status=201)

    async def page_keys(self, call: Call) -> Reply:
        tenant = await self._get(call.path["id"])
        (after,), limit = page_of(call.query)
        keys = await self._keys.page(tenant.tenant, after, limit + 1)
        return page_reply(keys, limit, lambda key: [key.key_id], _key_view)

    async def revoke_key(self, call: Call) -> Reply:
        tenant = await self._get(call.path["id"])
        if not await self._keys.revoke(tenant.tenant, call.path["key_id"]):
            raise NotFound("no such key")
        return Reply(status=204)

    async def get_defaults(self, call: Call) -> Reply:
        return Reply((await self._get(call.caller.tenant)).defaults)

    async def put_defaults(self, call: Call) -> Reply:
        tenant = call.caller.tenant
        text = canonical(call.body, await self._categories.keys(tenant), field="")
        defaults = msgspec.json.decode(text, type=Defaults)
        await self._tenants.set_defaults(tenant, defaults)
        return Reply(defaults)

    async def _get(self, tenant: str) -> TenantRecord:
        found = await self._tenants.get(tenant)
        if found is None:
            raise NotFound("no such tenant")
        return found


def _tenant_view(tenant: TenantRecord) -> TenantView:
    created, updated = shown(tenant.created_ms), shown(tenant.updated_ms)
    return TenantView(tenant.tenant, tenant.name, tenant.defaults, created, updated)


def _key_view(key: KeyRecord, secret: str | None = None) -> KeyView:
    times = shown(key.created_ms), shown(key.expires_ms), shown(key.revoked_ms)
    return KeyView(key.key_id, key.tenant, key.name, key.scopes, *times, key=secret)


def routes(control: Control, clock: Clock) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(control, clock)
    one, keys, tag = "/v1/tenants/{id}", "/v1/tenants/{id}/keys", "tenants"
    defaults = "/v1/preferences/defaults"
    return [
        Route("GET", "/v1/tenants", do.page, OPERATOR, "List tenants", queries=PAGE_QUERIES, tag=tag),
        Route("PUT", one, do.put, OPERATOR, "Create or rename a tenant", body=TenantBody, reply=TenantView, tag=tag),
        Route("GET", one, do.get, OPERATOR, "Get a tenant", reply=TenantView, tag=tag),
        Route("POST", keys, do.make_key, OPERATOR, "Make a key; its secret is shown this once",
              body=KeyBody, reply=KeyView, status=201, tag=tag),
        Route("GET", keys, do.page_keys, OPERATOR, "List a tenant's keys", queries=PAGE_QUERIES, tag=tag),
        Route("DELETE", f"{keys}/{{key_id}}", do.revoke_key, OPERATOR, "Revoke a key", status=204, tag=tag),
        Route("GET", defaults, do.get_defaults, "users:read", "Get the tenant's default preferences",
              reply=Defaults, tag="preferences"),
        Route("PUT", defaults, do.put_defaults, "users:write", "Replace the tenant's default preferences",
              body=Defaults, reply=Defaults, tag="preferences"),
    ]  # fmt: skip
