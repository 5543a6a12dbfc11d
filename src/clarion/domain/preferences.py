"""Preferences and quiet hours of users in their stored form, canonical JSON, and the difference between two
preferences."""

from collections.abc import Iterator
from typing import Final

import msgspec

from clarion.domain.quiet import QuietHours
from clarion.domain.user import Choice, Profile

NO_PREFERENCES: Final = "{}"
TENANTS_QUIET_HOURS: Final = ""
"""Quiet hours of a user who has none of their own."""

Change = tuple[str, str, bool | None, int | None]
"""Category, channel, whether it is allowed (None: no longer set), and until when."""

_QUIET_HOURS: Final = msgspec.json.Decoder(QuietHours)

read_preferences: Final = msgspec.json.Decoder(Profile.__annotations__["preferences"]).decode


def read_quiet_hours(text: str) -> QuietHours | None:
    """Return stored quiet hours, None for the tenant's."""
    return _QUIET_HOURS.decode(text) if text else None


def changes(before: str, after: str) -> Iterator[Change]:
    """Yield the changes between two preferences."""
    if before == after:
        return
    old, new = _entries(before), _entries(after)
    for place in sorted(old.keys() | new.keys()):
        value = new.get(place)
        if value != old.get(place):
            chosen = (value.allowed, value.until_ms) if isinstance(value, Choice) else (value, None)
            yield *place, *chosen


def _entries(preferences: str) -> dict[tuple[str, str], bool | Choice]:
    rows = read_preferences(preferences)
    return {(category, channel): value for category, row in rows.items() for channel, value in row.items()}
