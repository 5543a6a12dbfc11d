"""The cookies of people: of the session, and of a sign-in under way. Each is for this host alone, over TLS or on this machine, and no
script can read it."""

from collections.abc import Mapping
from typing import Final

from clarion.domain.limits_people import COOKIE_CHARS_MAX, SESSION_MS_MAX

SESSION_COOKIE: Final = "__Host-clarion-session"
STEP_COOKIE: Final = "__Host-clarion-step"
"""Of a sign-in under way: what has been shown so far, sealed."""
FLOW_COOKIE: Final = "__Host-clarion-provider"
"""Of the way to an identity provider and back, sealed."""
_BOUNDS: Final = "Path=/; Secure; HttpOnly; SameSite=Lax"


def cookie(headers: Mapping[str, str], name: str) -> str | None:
    """Return the value of a cookie of a request, None when it has none, or two that differ: then another one set it."""
    text = headers.get("cookie", "")
    if len(text) > COOKIE_CHARS_MAX:
        return None
    pairs = (part.strip().partition("=") for part in text.split(";"))
    found = {value for key, _, value in pairs if key == name}
    return found.pop() if len(found) == 1 else None


def set_cookie(name: str, value: str, age_s: int = SESSION_MS_MAX // 1000) -> str:
    """Return the header that sets a cookie."""
    return f"{name}={value}; {_BOUNDS}; Max-Age={age_s}"


def drop_cookie(name: str) -> str:
    """Return the header that removes a cookie."""
    return set_cookie(name, "", 0)
