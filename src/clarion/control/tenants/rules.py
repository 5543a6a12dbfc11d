"""Validation of tenants."""

import re
from typing import Final

from clarion.domain.errors import InvalidField
from clarion.domain.limits import TENANT_CHARS_MAX

_TENANT: Final = re.compile(rf"[a-z0-9](?:[a-z0-9-]{{0,{TENANT_CHARS_MAX - 2}}}[a-z0-9])?")


def check_tenant(text: str, field: str = "id") -> str:
    """Return a tenant id: 1-63 lower-case letters, digits and inner hyphens. Raises `InvalidField`."""
    if not _TENANT.fullmatch(text):
        raise InvalidField("must be 1-63 lower-case letters, digits and inner hyphens", field=field)
    return text
