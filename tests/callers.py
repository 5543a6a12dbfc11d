"""Callers, as the gate would make them of credentials."""

from collections.abc import Iterable

from clarion.domain.actor import Actor, ActorKind
from clarion.domain.permissions import OF_MEMBER, OF_OPERATOR, OF_PERSON, OF_TENANT, OF_USER, PUBLIC
from clarion.ports.web import Caller


def by_key(tenant: str = "acme", permissions: Iterable[str] = OF_TENANT, key_id: str = "key") -> Caller:
    """Return the caller of a key, by default one with all scopes."""
    return Caller(tenant, Actor(ActorKind.KEY, key_id), frozenset(permissions))


def by_user(user: str, tenant: str = "acme") -> Caller:
    """Return the caller of a user's token."""
    return Caller(tenant, Actor(ActorKind.USER, user), OF_USER, user)


def by_either(tenant: str, user: str | None) -> Caller:
    """Return the caller of a user's token, without a user that of a key."""
    return by_key(tenant) if user is None else by_user(user, tenant)


def opens(permission: str) -> str:
    """Return the kind of credential that opens a route: `operator`, `user`, `key`, `person` for a session alone, or `` for none."""
    if permission == PUBLIC:
        return ""
    if permission in OF_TENANT:
        return "key"
    if permission in OF_MEMBER | OF_PERSON:
        return "person"
    return "operator" if permission in OF_OPERATOR else "user"
