"""The scopes of API keys."""

from collections.abc import Collection, Sequence
from typing import Final

from clarion.domain.errors import InvalidField
from clarion.domain.limits import SCOPES_PER_KEY_MAX

EVERYTHING: Final = "*"
"""All scopes of a tenant, including future ones; never the operator's."""

ROTATE: Final = "keys:rotate"
"""The scope of a key that may replace itself."""

SCOPES: Final = {
    "notifications:write": "send, cancel, pause, resume and replay",
    "notifications:read": "states, timelines, explanations and dead letters",
    "users:write": "users, preferences, devices, topics, segments, user tokens and the origins of pages that use them",
    "users:read": "users, preferences, topics and segments",
    "content:write": "templates, categories and the policy",
    "content:read": "templates, categories and the policy",
    "providers:write": "provider accounts",
    "providers:read": "provider accounts without credentials",
    "suppressions:write": "suppressed addresses",
    "suppressions:read": "suppressed addresses",
    ROTATE: "replacing the key itself by a new one",
}
_TENANTS_OWN: Final = frozenset(SCOPES)


def allows(held: Collection[str], needed: str) -> bool:
    """Return whether a credential with the scopes `held` may use a route that needs one."""
    return needed in held or (EVERYTHING in held and needed in _TENANTS_OWN)


def check_scopes(scopes: Sequence[str], field: str = "scopes") -> tuple[str, ...]:
    """Return the scopes of a tenant's key, sorted. Raises `InvalidField` for none, or one that is not a tenant's."""
    if not scopes or len(scopes) > SCOPES_PER_KEY_MAX:
        raise InvalidField(f"must name 1-{SCOPES_PER_KEY_MAX} scopes", field=field)
    for index, scope in enumerate(scopes):
        if scope != EVERYTHING and scope not in SCOPES:
            known = ", ".join([EVERYTHING, *SCOPES])
            raise InvalidField(f"must be one of {known}", field=f"{field}[{index}]", code="unknown_scope")
    return tuple(sorted(set(scopes)))
