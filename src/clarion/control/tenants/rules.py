"""Checks of tenants and their keys."""

import re
from typing import Final

from clarion.domain.errors import InvalidField
from clarion.domain.limits import KEY_TTL_MS_MAX

_TENANT: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def check_tenant(text: str, field: str = "id") -> str:
    """Return a tenant id: 1-63 lower-case letters, digits and inner hyphens."""
    if not _TENANT.fullmatch(text):
        raise InvalidField("must be 1-63 lower-case letters, digits and inner hyphens", field=field)
    return text


def check_expiry(expires_ms: int | None, now_ms: int, field: str = "expires_at") -> int | None:
    """Return when a key ends. Raises `InvalidField` when that is past or beyond `KEY_TTL_MS_MAX`."""
    if expires_ms is not None and not now_ms < expires_ms <= now_ms + KEY_TTL_MS_MAX:
        raise InvalidField("must lie in the future, within ten years", field=field)
    return expires_ms
