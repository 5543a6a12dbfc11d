"""Validation of a tenant's policy."""

from collections.abc import Container

from clarion.domain.cap import check_caps
from clarion.domain.errors import InvalidField
from clarion.domain.locales import canonical
from clarion.domain.policy import Policy
from clarion.domain.quiet import check_quiet


def check_policy(policy: Policy, zones: Container[str]) -> Policy:
    """Return the policy to store, in canonical form. Raises `InvalidField` naming the first invalid field."""
    if policy.zone not in zones:
        raise InvalidField("is not an IANA time zone", field="zone")
    quiet = check_quiet(policy.quiet_hours, "quiet_hours")
    locale = canonical(policy.locale, "locale") if policy.locale else ""
    return Policy(quiet, policy.zone, caps=check_caps(policy.caps, "caps"), locale=locale)
