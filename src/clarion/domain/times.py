"""Times: RFC 3339 in the API, Unix milliseconds in code and stores."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, overload

import msgspec

from clarion.domain.errors import InvalidField
from clarion.domain.limits import INSTANT_MS_MAX

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""A point in time with its offset, RFC 3339."""


@overload
def shown(at_ms: int) -> datetime: ...
@overload
def shown(at_ms: int | None) -> datetime | None: ...
def shown(at_ms: int | None) -> datetime | None:
    """Return Unix milliseconds as a time in UTC."""
    return None if at_ms is None else _EPOCH + timedelta(milliseconds=at_ms)


@overload
def stored(at: datetime) -> int: ...
@overload
def stored(at: datetime | None) -> int | None: ...
def stored(at: datetime | None) -> int | None:
    """Return a time as Unix milliseconds."""
    return None if at is None else (at - _EPOCH) // timedelta(milliseconds=1)


def check_time(at: datetime, field: str) -> int:
    """Return a time as Unix milliseconds. Raises `InvalidField` for a time before 1970, or too late to be shown in
    UTC."""
    at_ms = stored(at)
    if not 0 <= at_ms < INSTANT_MS_MAX:
        raise InvalidField("must lie between the years 1970 and 9999", field=field)
    return at_ms
