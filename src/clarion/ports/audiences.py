"""The number of users of an audience, counted concurrently with other work of the process."""

from typing import Protocol

import msgspec

from clarion.domain.segment import Filter


class Count(msgspec.Struct, frozen=True):
    """The number of users counted, and whether it is exact; if not, it is a lower bound. `sample` holds the first
    ids."""

    users: int
    exact: bool
    sample: list[str]


class Audiences(Protocol):
    """Counts audiences off the event loop."""

    async def count(
        self, tenant: str, topic: str | None, filter_: Filter | None, *, most: int | None = None, sample: int = 0
    ) -> Count:
        """Count the users of the tenant (of the topic, if given; matched by the filter, if given) until more than `most`
        are found or `AUDIENCE_COUNT_MS_MAX` are over. Raises `Overloaded` when `AUDIENCE_COUNTS_MAX` are being counted
        or waiting."""
        ...

    async def close(self) -> None:
        """Finish the count under way and close."""
        ...
