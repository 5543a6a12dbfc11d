"""Checks of categories."""

from collections.abc import Mapping
from typing import Final

from clarion.domain.channel import CHANNELS
from clarion.domain.errors import InvalidField

_CHANNELS: Final = frozenset({"*", *CHANNELS})


def check_defaults(defaults: Mapping[str, bool], *, critical: bool) -> dict[str, bool]:
    """Return a category's default per channel (or `*`). Raises `InvalidField` for an unknown channel, and for a critical
    category with any: nobody is asked whether they want those."""
    for channel in defaults:
        if channel not in _CHANNELS:
            name = channel[:100]
            raise InvalidField(f"no such channel: {name}", field=f"defaults.{name}", code="unknown_channel")
    if critical and not all(defaults.values()):
        raise InvalidField("a critical category cannot be switched off by default", field="defaults")
    return dict(defaults)
