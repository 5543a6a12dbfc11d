"""The API form of preferences: category (or `*`) to channel (or `*`) to yes or no, without an end or until a time.
Pure."""

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from clarion.domain.channel import CHANNELS
from clarion.domain.errors import InvalidField
from clarion.domain.limits import PREFERENCE_RULES_MAX
from clarion.domain.times import Time, check_time, shown
from clarion.domain.user import Choice

_CHANNELS: Final = frozenset({"*", *CHANNELS})


class TimedChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A choice with an end: after it no choice is set."""

    allowed: bool
    until: Time


Preferences: TypeAlias = dict[str, dict[str, bool | TimedChoice]]
"""The choices of a user."""
Defaults: TypeAlias = dict[str, dict[str, bool]]
"""The defaults of users without a choice; they have no end."""


def canonical(
    preferences: Mapping[str, Mapping[str, bool | TimedChoice]],
    categories: Mapping[str, bool],
    field: str = "preferences",
) -> str:
    """Return preferences in stored form: sorted JSON of booleans and `Choice`, without empty rows, so that equal ones
    are equal text.

    `categories` maps the existing ones to whether they are critical. Raises `InvalidField` for an unknown channel or
    category, and for an opt-out of a critical one; `field` is empty when they are the whole body.
    """
    path = f"{field}." if field else ""
    rows: dict[str, dict[str, bool | Choice]] = {}
    for category, row in preferences.items():
        name = category[:100]
        if category != "*" and category not in categories:
            raise InvalidField(f"no such category: {name}", field=f"{path}{name}", code="unknown_category")
        critical = categories.get(category, False)
        for channel, value in row.items():
            choice = _choice(channel, value, f"{path}{name}.{channel[:100]}", critical=critical)
            rows.setdefault(category, {})[channel] = choice
    if sum(map(len, rows.values())) > PREFERENCE_RULES_MAX:
        raise InvalidField(f"has more than {PREFERENCE_RULES_MAX} entries", field=field or None)
    return msgspec.json.encode(rows, order="sorted").decode()


def view(preferences: Mapping[str, Mapping[str, bool | Choice]]) -> Preferences:
    """Return the API form of stored preferences."""
    return {
        category: {
            channel: value if isinstance(value, bool) else TimedChoice(value.allowed, shown(value.until_ms))
            for channel, value in row.items()
        }
        for category, row in preferences.items()
    }


def _choice(channel: str, value: bool | TimedChoice, place: str, *, critical: bool) -> bool | Choice:
    if channel not in _CHANNELS:
        raise InvalidField(f"no such channel: {channel[:100]}", field=place, code="unknown_channel")
    kept = value if isinstance(value, bool) else Choice(value.allowed, check_time(value.until, f"{place}.until"))
    if critical and not (kept if isinstance(kept, bool) else kept.allowed):
        raise InvalidField("nobody can opt out of a critical category", field=place, code="critical_category")
    return kept
