"""Durations in the text form of definitions: `45s`, `2m`, `1h30m`, `3d`, `2w`."""

import re
from functools import lru_cache
from typing import Final

from clarion.domain.errors import InvalidField
from clarion.domain.limits_processes import DURATION_TEXTS_MAX

_UNITS_MS: Final = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
_WHOLE: Final = re.compile(r"(?:\d{1,9}[wdhms])+")
_PART: Final = re.compile(r"(\d+)([wdhms])")


@lru_cache(maxsize=DURATION_TEXTS_MAX)
def duration_ms(text: str) -> int:
    """Return a duration in milliseconds. Raises `ValueError` when the text is not a duration."""
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is not a duration such as 45s, 2m, 1h30m, 3d or 2w")
    return sum(int(number) * _UNITS_MS[unit] for number, unit in _PART.findall(text))


def check_duration(text: str, field: str, *, least_ms: int = 1_000, most_ms: int) -> int:
    """Return a duration in milliseconds. Raises `InvalidField` when the text is not a duration, or out of bounds."""
    try:
        length_ms = duration_ms(text)
    except ValueError as error:
        raise InvalidField(str(error), field=field) from None
    if not least_ms <= length_ms <= most_ms:
        raise InvalidField(f"must be between {duration_text(least_ms)} and {duration_text(most_ms)}", field=field)
    return length_ms


def duration_text(length_ms: int) -> str:
    """Return milliseconds as text, whole seconds (`90061000` is `1d1h1m1s`)."""
    parts = []
    for unit, unit_ms in _UNITS_MS.items():
        number, length_ms = divmod(length_ms, unit_ms)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"
