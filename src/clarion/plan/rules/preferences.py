"""Preferences: category x channel, the more specific setting wins, the user's own before the tenant's default.

Within one source the order is (category, channel), (category, `*`), (`*`, channel), (`*`, `*`). Critical categories
cannot be opted out of, so they never come here.
"""

from collections.abc import Mapping
from typing import TypeAlias

Matrix: TypeAlias = Mapping[str, Mapping[str, bool]]
"""Category (or `*`) to channel (or `*`) to whether sending is allowed."""


def lookup(matrix: Matrix, category: str, channel: str) -> tuple[bool, str] | None:
    """Return the most specific setting and its name (`marketing.email`), or None when nothing matches."""
    for key in (category, "*"):
        row = matrix.get(key)
        if row is None:
            continue
        for column in (channel, "*"):
            if column in row:
                return row[column], f"{key}.{column}"
    return None


def opted_out(user: Matrix, tenant: Matrix, category_defaults: Mapping[str, bool], category: str, channel: str) -> str:
    """Return which setting forbids the channel, or an empty string when sending is allowed."""
    found = lookup(user, category, channel)
    if found is not None:
        return "" if found[0] else f"user preference {found[1]}"
    found = lookup({category: category_defaults}, category, channel) if category_defaults else None
    if found is not None:
        return "" if found[0] else f"category default {found[1]}"
    found = lookup(tenant, category, channel)
    if found is not None and not found[0]:
        return f"tenant default {found[1]}"
    return ""
