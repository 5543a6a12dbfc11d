"""How an account at a provider stands."""

from typing import Literal, TypeAlias

import msgspec

StandingState: TypeAlias = Literal["closed", "degraded", "open", "half_open", "recovering"]
"""`closed`: in use. `degraded`: in use, others first. `open`: not called. `half_open`: one probe is under way.
`recovering`: in use again, at no more than the pace of before, until what waited is gone."""


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """An account's standing as all workers share it. Times are milliseconds of a clock that never goes back.

    `slots` are (start, calls, failures) of the sliding window, oldest first; `version` is that of the account it is about:
    a changed account starts anew. `until_ms` is when the next probe may be made, `opens` how often it opened without
    recovering in between, `rate_m` the pace before it opened in thousandths of a message per second. `paused_until_ms` is
    how long the provider asked for quiet.
    """

    state: StandingState = "closed"
    version: int = 0
    slots: tuple[tuple[int, int, int], ...] = ()
    changed_ms: int = 0
    until_ms: int = 0
    opens: int = 0
    rate_m: int = 0
    paused_until_ms: int = 0
    used_m: int = 0
    """Of the pace while recovering: what is used of the bucket at `used_at_ms`."""
    used_at_ms: int = 0
    refused_ms: int = 0
    """When that pace last made a delivery wait."""
    detail: str = ""
