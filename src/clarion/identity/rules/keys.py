"""Whether an API key is valid, and until when a new one may be."""

from enum import StrEnum

from clarion.domain.errors import InvalidField
from clarion.domain.limits import KEY_TTL_MS_MAX
from clarion.domain.limits_processes import KEY_EXPIRES_SOON_MS


class KeyState(StrEnum):
    """Whether a key is valid, and why not."""

    ACTIVE = "active"
    EXPIRES_SOON = "expires_soon"
    EXPIRED = "expired"
    REVOKED = "revoked"


def key_state(expires_ms: int | None, revoked_ms: int | None, now_ms: int) -> KeyState:
    """Return the state of a key at a time."""
    if revoked_ms is not None:
        return KeyState.REVOKED
    if expires_ms is None or expires_ms - now_ms > KEY_EXPIRES_SOON_MS:
        return KeyState.ACTIVE
    return KeyState.EXPIRES_SOON if expires_ms > now_ms else KeyState.EXPIRED


def check_expiry(expires_ms: int | None, now_ms: int, field: str = "expires_at") -> int | None:
    """Return when a key expires. Raises `InvalidField` when that is in the past or beyond `KEY_TTL_MS_MAX`."""
    if expires_ms is not None and not now_ms < expires_ms <= now_ms + KEY_TTL_MS_MAX:
        raise InvalidField("must lie in the future, within ten years", field=field)
    return expires_ms
