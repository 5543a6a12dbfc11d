"""The resource of a tenant's policy."""

from typing import Final, Self

import msgspec

from clarion.control.policy.rules import check_policy
from clarion.control.users.places import places
from clarion.control.users.routes_choices import QuietHoursView
from clarion.domain.cap import Cap
from clarion.domain.policy import POLICY_KEY, Policy
from clarion.ports.documents import Document
from clarion.resources.decisions import as_given
from clarion.resources.declaration import Resource


class PolicyView(msgspec.Struct, frozen=True):
    """A policy in the API's responses, with all fields."""

    quiet_hours: QuietHoursView
    zone: str
    locale: str
    caps: tuple[Cap, ...]

    @classmethod
    def of(cls, document: Document) -> Self:
        """Return the view of a policy."""
        policy = msgspec.json.decode(document.body, type=Policy)
        return cls(QuietHoursView.of(policy.quiet_hours), policy.zone, policy.locale, policy.caps)


def prepare(body: Policy) -> Policy:
    """Return a policy in canonical form. Raises `InvalidField`."""
    return check_policy(body, places().zones)


POLICY: Final = Resource(
    Policy.KIND,
    "/v1/policy",
    Policy,
    PolicyView,
    as_given,
    summary="Replace the tenant's quiet hours, their zone, caps over all categories, and templates' fallback locale",
    description="Users' own quiet hours come before those of the tenant.",
    example=Policy(zone="Europe/Berlin", caps=(Cap(3, "1d"),)),
    prepare=prepare,
    only=POLICY_KEY,
    default=Policy(),
    shown=PolicyView.of,
)
