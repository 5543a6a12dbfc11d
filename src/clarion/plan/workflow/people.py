"""The users of instances: the values that expressions may read, and the time zone."""

from typing import Any, Final
from zoneinfo import ZoneInfo

from clarion.domain.localtime import zone_of
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.journal.events import Recipient
from clarion.plan.facts import user_context
from clarion.plan.wait_facts import WaitFacts

_NO_POLICY: Final = Policy()


def person(facts: WaitFacts, tenant: str, recipient: Recipient) -> tuple[dict[str, Any], ZoneInfo]:
    """Return the values that expressions read as `user`, and the zone: the user's own, else the tenant's, else UTC.
    Only the id of a deleted user remains. Raises `MissingFacts`."""
    user = facts.user(tenant, recipient.user_id) if recipient.user_id else None
    known = user or recipient
    if known.zone:
        return user_context(known), zone_of(known.zone)
    policy = facts.definition(tenant, Policy, POLICY_KEY)
    return user_context(known), zone_of((policy.body if policy else _NO_POLICY).zone)
