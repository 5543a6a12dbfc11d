"""Quotas of tenants and keys over HTTP."""

from clarion.control.tenants.rules import check_tenant
from clarion.domain.quota import TENANT, Quota, check_quota
from clarion.domain.security_events import SecurityEvent
from clarion.ports.control import QuotaSettings
from clarion.ports.telemetry import Telemetry
from clarion.ports.web import Call, Reply, Route


class _Handlers:
    def __init__(self, quotas: QuotaSettings, telemetry: Telemetry) -> None:
        self._quotas = quotas
        self._telemetry = telemetry

    async def put(self, call: Call) -> Reply:
        quota = check_quota(call.body)
        tenant, key_id = _owner(call)
        await self._quotas.put(tenant, key_id, quota)
        of_key = {} if key_id == TENANT else {"key_id": key_id}
        self._telemetry.security(SecurityEvent.QUOTA_CHANGED, tenant=tenant, **of_key, by=call.caller.actor.id)
        return Reply(quota)

    async def get(self, call: Call) -> Reply:
        return Reply(await self._quotas.get(*_owner(call)))


def _owner(call: Call) -> tuple[str, str]:
    return check_tenant(call.path["id"]), call.path.get("key_id", TENANT)


def routes(quotas: QuotaSettings, telemetry: Telemetry) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(quotas, telemetry)
    tenant, key, tag = "/v1/tenants/{id}/quota", "/v1/tenants/{id}/keys/{key_id}/quota", "tenants"
    write, read = "tenant-quotas:write", "tenant-quotas:read"
    return [
        Route("PUT", tenant, do.put, write, "Replace a tenant's quota", body=Quota, reply=Quota, tag=tag),
        Route("GET", tenant, do.get, read, "Get a tenant's quota", reply=Quota, tag=tag),
        Route("PUT", key, do.put, write, "Replace a key's quota", body=Quota, reply=Quota, tag=tag),
        Route("GET", key, do.get, read, "Get a key's quota", reply=Quota, tag=tag),
    ]
