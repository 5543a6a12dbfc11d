"""Which roles the groups of an identity provider give."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from clarion.domain.limits_people import GROUPS_READ_MAX


class Given(Protocol):
    """A role that a group gives in a tenant."""

    @property
    def group(self) -> str:
        """The group."""

    @property
    def tenant(self) -> str:
        """The tenant."""

    @property
    def role(self) -> str:
        """The role."""


class Membership(NamedTuple):
    """A role of a member, and the provider that gave it; empty when people did."""

    role: str
    provider: str


class Alignment(NamedTuple):
    """What has to change so that the memberships of a person follow the groups: roles to have, and tenants to leave."""

    joins: dict[str, str]
    leaves: list[str]


def groups_of(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """Return the groups in a claim: a list of texts, or one text."""
    found = claims.get(name)
    listed = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return frozenset(one for one in listed[:GROUPS_READ_MAX] if isinstance(one, str))


def roles_of(groups: Collection[str], given: Iterable[Given]) -> dict[str, str]:
    """Return the role in each tenant that some groups give: of several the first one."""
    roles: dict[str, str] = {}
    for one in given:
        if one.group in groups:
            roles.setdefault(one.tenant, one.role)
    return roles


def aligned(provider: str, wanted: Mapping[str, str], now: Mapping[str, Membership]) -> Alignment:
    """Return what has to change. What people gave, or another provider, stays as it is."""
    joins = {
        tenant: role
        for tenant, role in wanted.items()
        if tenant not in now or (now[tenant].provider == provider and now[tenant].role != role)
    }
    leaves = [tenant for tenant, one in now.items() if one.provider == provider and tenant not in wanted]
    return Alignment(joins, sorted(leaves))
