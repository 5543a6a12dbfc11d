"""A tenant's policy over HTTP."""

from typing import Self

import msgspec

from clarion.control.policy.rules import check_policy
from clarion.control.users.places import places
from clarion.control.users.routes_choices import QuietHoursView
from clarion.domain.cap import Cap
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.ports.control_definitions import Definitions
from clarion.ports.web import Call, Reply, Route


class PolicyView(msgspec.Struct, frozen=True):
    """A policy in the API's responses, with all fields."""

    quiet_hours: QuietHoursView
    zone: str
    locale: str
    caps: tuple[Cap, ...]

    @classmethod
    def of(cls, policy: Policy) -> Self:
        """Return the view of a policy."""
        return cls(QuietHoursView.of(policy.quiet_hours), policy.zone, policy.locale, policy.caps)


class _Handlers:
    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    async def put(self, call: Call) -> Reply:
        policy = check_policy(call.body, places().zones)
        await self._definitions.put(call.caller.tenant, Policy.KIND, POLICY_KEY, msgspec.json.encode(policy))
        return Reply(PolicyView.of(policy))

    async def get(self, call: Call) -> Reply:
        found = await self._definitions.get(call.caller.tenant, Policy.KIND, POLICY_KEY)
        return Reply(PolicyView.of(Policy() if found is None else msgspec.json.decode(found.body, type=Policy)))


def routes(definitions: Definitions) -> list[Route]:
    """Return the endpoints of this area."""
    do = _Handlers(definitions)
    path, tag = "/v1/policy", "policy"
    return [
        Route("PUT", path, do.put, "content:write",
              "Replace the tenant's quiet hours, their zone, caps over all categories, and templates' fallback locale",
              body=Policy, reply=PolicyView, tag=tag),
        Route("GET", path, do.get, "content:read", "Get the tenant's policy", reply=PolicyView, tag=tag),
    ]  # fmt: skip
