"""The scopes of API keys, as they are given to a new one."""

from collections.abc import Sequence

from clarion.domain.errors import InvalidField
from clarion.domain.limits import SCOPES_PER_KEY_MAX
from clarion.domain.permissions import EVERYTHING, SCOPES


def check_scopes(scopes: Sequence[str], field: str = "scopes") -> tuple[str, ...]:
    """Return the scopes of a tenant's key, sorted. Raises `InvalidField` for none, or one that is not a tenant's."""
    if not scopes or len(scopes) > SCOPES_PER_KEY_MAX:
        raise InvalidField(f"must name 1-{SCOPES_PER_KEY_MAX} scopes", field=field)
    for index, scope in enumerate(scopes):
        if scope != EVERYTHING and scope not in SCOPES:
            known = ", ".join([EVERYTHING, *SCOPES])
            raise InvalidField(f"must be one of {known}", field=f"{field}[{index}]", code="unknown_scope")
    return tuple(sorted(set(scopes)))
