"""Quotas of tenants and keys over HTTP."""

from clarion.control.tenants.rules import check_tenant
from clarion.domain.quota import TENANT, Quota, check_quota
from clarion.ports.control import QuotaSettings
from clarion.ports.web import OPERATOR, Call, Reply, Route


class _Handlers:
    def __init__(self, quotas: QuotaSettings) -> None:
        self._quotas = quotas

    async def put(self, call: Call) -> Reply:
        quota = check_quota(call.body)
        await self._quotas.put(*_owner(call), quota)
        return Reply(quota)

    async def get(self, call: Call) -> Reply:
        return Reply(await self._quotas.get(*_owner(call)))


def _owner(call: Call) -> tuple[str, str]:
    return check_tenant(call.path["id"]), call.path.get("key_id", TENANT)


def routes(quotas: QuotaSettings) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(quotas)
    tenant, key, tag = "/v1/tenants/{id}/quota", "/v1/tenants/{id}/keys/{key_id}/quota", "tenants"
    return [
        Route("PUT", tenant, do.put, OPERATOR, "Replace a tenant's quota", body=Quota, reply=Quota, tag=tag),
        Route("GET", tenant, do.get, OPERATOR, "Get a tenant's quota", reply=Quota, tag=tag),
        Route("PUT", key, do.put, OPERATOR, "Replace a key's quota", body=Quota, reply=Quota, tag=tag),
        Route("GET", key, do.get, OPERATOR, "Get a key's quota", reply=Quota, tag=tag),
    ]
