"""Who instances are about: what expressions may read of a user, and the zone their clocks show."""

from typing import Any, Final
from zoneinfo import ZoneInfo

from clarion.domain.localtime import zone_of
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.journal.events import Recipient
from clarion.plan.facts import user_context
from clarion.plan.wait_facts import WaitFacts

_NO_POLICY: Final = Policy()


def person(facts: WaitFacts, tenant: str, recipient: Recipient) -> tuple[dict[str, Any], ZoneInfo]:
    """Return what expressions read as `user`, and the zone: the user's own, else the tenant's, else UTC. A user that is gone
    keeps only the id. Raises `Lacking`."""
    user = facts.user(tenant, recipient.user_id) if recipient.user_id else None
    known = user or recipient
    if known.zone:
        return user_context(known), zone_of(known.zone)
    policy = facts.definition(tenant, Policy, POLICY_KEY)
    return user_context(known), zone_of((policy.body if policy else _NO_POLICY).zone)
