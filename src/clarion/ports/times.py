"""Times of the API: RFC 3339 outside, Unix milliseconds inside."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, overload

import msgspec

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


def stored(at: datetime | None) -> int | None:
    """Return a time as Unix milliseconds."""
    return None if at is None else (at - _EPOCH) // timedelta(milliseconds=1)
