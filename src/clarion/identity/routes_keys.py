"""API keys over HTTP: for the operator, and for a key that rotates itself."""

from datetime import datetime
from typing import Annotated

import msgspec

from clarion.domain.address import single_line
from clarion.domain.errors import existing
from clarion.domain.limits import KEY_OVERLAP_S_MAX, NAME_CHARS_MAX
from clarion.domain.networks import check_networks
from clarion.domain.security_events import SecurityEvent
from clarion.domain.times import Time, shown, stored
from clarion.identity.rules.keys import KeyState, check_expiry, key_state
from clarion.identity.rules.scopes import check_scopes
from clarion.ports.clock import Clock
from clarion.ports.control import Control
from clarion.ports.control_keys import KeyRecord, KeyUse
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Call, Reply, Route
from clarion.resources.pages import PAGE_QUERIES, page_of, page_reply


class KeyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key to create. The scope `*` includes all scopes of the tenant. Without networks it may be used from
    anywhere."""

    scopes: list[str]
    name: str = ""
    expires_at: Time | None = None
    networks: list[str] = []


class RotationBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many seconds the key that is replaced stays valid beside the new one."""

    overlap_s: Annotated[int, msgspec.Meta(ge=0, le=KEY_OVERLAP_S_MAX)]


class NetworksBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The networks that a key may be used from, as CIDR; none permits every address."""

    networks: list[str]


class NetworkView(msgspec.Struct, frozen=True):
    """A network that a key was used from: an IPv4 /24 or IPv6 /48."""

    network: str
    last_used_at: datetime


class KeyView(msgspec.Struct, frozen=True, omit_defaults=True):
    """A key in the API's responses; `key` is the secret, shown once, when it is created. `used_from` is shown of a
    single key."""

    id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    state: KeyState
    created_at: datetime
    expires_at: datetime | None
    expires_in_s: int | None
    revoked_at: datetime | None
    replaces: str | None
    replaced_by: str | None
    last_used_at: datetime | None
    last_used_from: str | None
    used_from: list[NetworkView] | None = None
    key: str | None = None


class _Handlers:
    def __init__(self, control: Control, clock: Clock, telemetry: Telemetry) -> None:
        self._tenants = control.tenants
        self._keys = control.keys
        self._clock = clock
        self._telemetry = telemetry

    async def make(self, call: Call) -> Reply:
        tenant, body = await self._tenant(call), call.body
        scopes = check_scopes(body.scopes)
        expires_ms = check_expiry(stored(body.expires_at), self._clock.now_ms())
        name = single_line(body.name, "name", NAME_CHARS_MAX)
        networks = check_networks(body.networks)
        record, secret = await self._keys.create(tenant, name, scopes, expires_ms, networks)
        self._telemetry.security(SecurityEvent.KEY_CREATED, tenant=tenant, key_id=record.key_id)
        return Reply(self._view(record, secret=secret), status=201)

    async def page(self, call: Call) -> Reply:
        tenant = await self._tenant(call)
        (after,), limit = page_of(call.query)
        keys = await self._keys.page(tenant, after, limit + 1)
        return page_reply(keys, limit, lambda key: [key.key_id], self._view)

    async def get(self, call: Call) -> Reply:
        tenant, key_id = call.path["id"], call.path["key_id"]
        record = existing(await self._keys.get(tenant, key_id), "key")
        return Reply(self._view(record, await self._keys.networks_of(tenant, key_id)))

    async def rotate(self, call: Call) -> Reply:
        return await self._rotate(call.path["id"], call.path["key_id"], call.body.overlap_s)

    async def rotate_own(self, call: Call) -> Reply:
        return await self._rotate(call.caller.tenant, call.caller.actor.id, call.body.overlap_s)

    async def put_networks(self, call: Call) -> Reply:
        tenant, key_id, networks = call.path["id"], call.path["key_id"], check_networks(call.body.networks)
        record = await self._keys.set_networks(tenant, key_id, networks)
        event, by = SecurityEvent.KEY_NETWORKS_CHANGED, call.caller.actor.id
        self._telemetry.security(event, tenant=tenant, key_id=key_id, by=by)
        return Reply(self._view(record))

    async def revoke(self, call: Call) -> Reply:
        tenant, key_id = await self._tenant(call), call.path["key_id"]
        existing(await self._keys.revoke(tenant, key_id), "key")
        self._telemetry.security(SecurityEvent.KEY_REVOKED, tenant=tenant, key_id=key_id)
        return Reply(status=204)

    async def _rotate(self, tenant: str, key_id: str, overlap_s: int) -> Reply:
        record, secret = await self._keys.rotate(tenant, key_id, overlap_s * 1000)
        new = record.key_id
        self._telemetry.security(SecurityEvent.KEY_ROTATED, tenant=tenant, key_id=key_id, subject=new)
        self._telemetry.security(SecurityEvent.KEY_CREATED, tenant=tenant, key_id=new)
        return Reply(self._view(record, secret=secret), status=201)

    async def _tenant(self, call: Call) -> str:
        return existing(await self._tenants.get(call.path["id"]), "tenant").tenant

    def _view(self, key: KeyRecord, used: list[KeyUse] | None = None, secret: str | None = None) -> KeyView:
        now_ms, ends_ms = self._clock.now_ms(), key.expires_ms
        return KeyView(
            key.key_id,
            key.tenant,
            key.name,
            key.scopes,
            key.networks,
            key_state(ends_ms, key.revoked_ms, now_ms),
            shown(key.created_ms),
            shown(ends_ms),
            None if ends_ms is None else max(0, (ends_ms - now_ms) // 1000),
            shown(key.revoked_ms),
            key.replaces,
            key.replaced_by,
            shown(key.last_used_ms),
            key.last_used_from,
            None if used is None else [NetworkView(use.network, shown(use.at_ms)) for use in used],
            secret,
        )


def routes(control: Control, clock: Clock, telemetry: Telemetry) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(control, clock, telemetry)
    keys, one, tag = "/v1/tenants/{id}/keys", "/v1/tenants/{id}/keys/{key_id}", "tenants"
    write, read = "tenant-keys:write", "tenant-keys:read"
    return [
        Route("POST", keys, do.make, write, "Create a key; its secret is shown only once",
              body=KeyBody, reply=KeyView, status=201, tag=tag),
        Route("GET", keys, do.page, read, "List a tenant's keys", queries=PAGE_QUERIES, tag=tag),
        Route("GET", one, do.get, read, "Get a key, and the networks it was used from", reply=KeyView, tag=tag),
        Route("DELETE", one, do.revoke, write, "Revoke a key", status=204, tag=tag),
        Route("POST", f"{one}/rotate", do.rotate, write, "Replace a key; both are valid until the overlap ends",
              body=RotationBody, reply=KeyView, status=201, tag=tag),
        Route("PUT", f"{one}/networks", do.put_networks, write, "Replace the networks that a key may be used from",
              body=NetworksBody, reply=KeyView, tag=tag),
        Route("POST", "/v1/keys/current/rotate", do.rotate_own, "keys:rotate", "Replace the key that this request is made with",
              body=RotationBody, reply=KeyView, status=201, tag="keys"),
    ]  # fmt: skip
