"""Who may give which role to whom: nobody gives, changes or takes away what they do not hold themselves."""

from collections.abc import Collection, Sequence

from clarion.domain.errors import Conflict, Forbidden, InvalidField
from clarion.domain.permissions import OF_MEMBER

BEYOND_OWN = "beyond_own_permissions"
"""The code of a refusal to give what one does not hold."""
LAST_OWNER = "last_owner"


def check_permissions(permissions: Sequence[str], field: str = "permissions") -> list[str]:
    """Return the permissions of a role, sorted. Raises `InvalidField` for none, and for one that no role can have."""
    if not permissions:
        raise InvalidField("must name at least one permission", field=field)
    for index, one in enumerate(permissions):
        if one not in OF_MEMBER:
            raise InvalidField(f"no role can have {one[:100]!r}", field=f"{field}[{index}]", code="unknown_permission")
    return sorted(set(permissions))


def check_held(held: Collection[str], wanted: Collection[str], field: str) -> None:
    """Raise `Forbidden` unless somebody who holds some permissions may give or take away others."""
    missing = sorted(set(wanted) - set(held))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise Forbidden(f"you do not hold {missing[0]!r}{more} yourself", field=field, code=BEYOND_OWN)


def check_owner_left(owners: Collection[str], leaving: str) -> None:
    """Raise `Conflict` when the only owner of a tenant would stop being one."""
    if set(owners) <= {leaving}:
        raise Conflict("the tenant would have no owner; make another member owner first", code=LAST_OWNER)
