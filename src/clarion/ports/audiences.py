"""How many users an audience has, found out beside whatever else a process does."""

from typing import Protocol

import msgspec

from clarion.domain.segment import Filter


class Count(msgspec.Struct, frozen=True):
    """How many users were counted, and whether those are all: if not, there are at least so many. `sample` holds the
    first ids."""

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
