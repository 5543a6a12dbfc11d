"""Shortening of links in an SMS, by a function that the operator configures."""

import re
from collections.abc import Callable
from typing import Any, Final

LINK_CHARS_MIN: Final = 30
"""Shorter links stay as they are."""
_LINK: Final = re.compile(r"https?://[^\s<>\"']{22,}[^\s<>\"'.,;:!?)]")

Links = Callable[[str, str], str]
"""A function from tenant and link to the link to send: fast, without network access, and the same one each time."""


def shortened(parts: dict[str, Any], tenant: str, links: Links) -> dict[str, Any]:
    """Return the parts with the long links of the body shortened."""
    body = parts.get("body")
    if not isinstance(body, str) or "://" not in body:
        return parts
    return {**parts, "body": _LINK.sub(lambda match: _short(match[0], tenant, links), body)}


def _short(link: str, tenant: str, links: Links) -> str:
    return links(tenant, link) if len(link) >= LINK_CHARS_MIN else link
