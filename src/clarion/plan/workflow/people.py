"""Who instances are about: their users, read a frame at a time, and the zone their clocks show."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final
from zoneinfo import ZoneInfo

from clarion.domain.limits import RECIPIENTS_MAX
from clarion.domain.localtime import zone_of
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.domain.user import User
from clarion.journal.events import Recipient
from clarion.plan.facts import user_context
from clarion.ports.directory import Directory

_NO_POLICY: Final = Policy()


class People:
    """The users of one step of planning."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._users: dict[tuple[str, str], User | None] = {}

    def load(self, whose: Iterable[tuple[str, str]]) -> None:
        """Read users by (tenant, user id), in one query a tenant; those without an id are nobody."""
        missing: dict[str, dict[str, None]] = defaultdict(dict)
        for tenant, user_id in whose:
            if user_id and (tenant, user_id) not in self._users:
                missing[tenant][user_id] = None
        for tenant, user_ids in missing.items():
            names = list(user_ids)
            for start in range(0, len(names), RECIPIENTS_MAX):
                part = names[start : start + RECIPIENTS_MAX]
                found = self._directory.users(tenant, part)
                self._users.update({(tenant, name): found.get(name) for name in part})

    def of(self, tenant: str, recipient: Recipient) -> tuple[dict[str, Any], ZoneInfo]:
        """Return what expressions read as `user`, and the zone: the user's own, else the tenant's, else UTC. A user that
        is gone keeps only the id."""
        self.load(((tenant, recipient.user_id),))
        known = self._users.get((tenant, recipient.user_id)) or recipient
        if known.zone:
            return user_context(known), zone_of(known.zone)
        policy = self._directory.definition(tenant, Policy, POLICY_KEY)
        return user_context(known), zone_of((policy.body if policy else _NO_POLICY).zone)
