"""How an account at a provider stands."""

from typing import Literal, TypeAlias

import msgspec

StandingState: TypeAlias = Literal["closed", "degraded", "open", "half_open", "recovering"]
"""`closed`: in use. `degraded`: in use, others first. `open`: not called. `half_open`: one probe is under way.
`recovering`: in use again, at no more than the pace of before, until what waited is gone."""


class Measure(msgspec.Struct, frozen=True, array_like=True):
    """What is not in the measured pace yet: `calls` and `failures` since `since_ms`. `covered_ms` is how long the pace has
    been measured so far."""

    since_ms: int = 0
    calls: int = 0
    failures: int = 0
    covered_ms: int = 0


class Standing(msgspec.Struct, frozen=True, array_like=True):
    """An account's standing as all workers share it. Times are milliseconds of a clock that never goes back.

    `slots` are (start, calls, failures) of the sliding windows, oldest first; `version` is that of the account it is about:
    a changed account starts anew. `until_ms` is when the next probe may be made (half open: when the one that is out is
    given up), `opens` how often it opened without recovering in between, `rate_m` the pace of calls in thousandths of a
    message per second: measured slowly while it is in use, and kept as it was before it opened. `paused_until_ms` is how
    long the provider asked for quiet.
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
    measure: Measure = Measure()


class Tally(msgspec.Struct, frozen=True):
    """What a worker has to tell of an account: `calls` that said something about it, of which `failures` failed; what the
    vendor said when the account is `misconfigured`; until when it asked for quiet; and, when the probe was this worker's
    and has been answered, which one: the standing's `until_ms` when it was handed out, 0 for none."""

    calls: int = 0
    failures: int = 0
    misconfigured: str | None = None
    paused_until_ms: int = 0
    probe: int = 0
