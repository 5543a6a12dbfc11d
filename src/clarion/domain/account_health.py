"""The health of an account at a provider."""

from typing import Literal, TypeAlias

import msgspec

HealthState: TypeAlias = Literal["closed", "degraded", "open", "half_open", "recovering"]
"""`closed`: in use. `degraded`: in use, after healthy accounts. `open`: not called. `half_open`: one probe is under
way. `recovering`: in use again, at most at the pace measured before it opened, until the waiting deliveries are
sent."""


class Measure(msgspec.Struct, frozen=True, array_like=True):
    """Calls not yet included in the measured pace: `calls` and `failures` since `since_ms`. `covered_ms` is how long
    the pace has been measured so far."""

    since_ms: int = 0
    calls: int = 0
    failures: int = 0
    covered_ms: int = 0


class AccountHealth(msgspec.Struct, frozen=True, array_like=True):
    """The health of an account as shared by all workers. Times are milliseconds of a clock that never goes back.

    `slots` are (start, calls, failures) of the sliding windows, oldest first; `version` is that of the account: after a
    change of the account its health starts anew. `until_ms` is when the next probe may be made (half open: when the
    running one times out), `opens` how often it opened without recovering in between, `rate_m` the pace of calls in
    thousandths of a message per second: a slow average while the account is in use, frozen when it opens.
    `paused_until_ms` is the end of the pause that the provider asked for.
    """

    state: HealthState = "closed"
    version: int = 0
    slots: tuple[tuple[int, int, int], ...] = ()
    changed_ms: int = 0
    until_ms: int = 0
    opens: int = 0
    rate_m: int = 0
    paused_until_ms: int = 0
    used_m: int = 0
    """While recovering: the level of the pace's bucket at `used_at_ms`."""
    used_at_ms: int = 0
    refused_ms: int = 0
    """When the pace of a recovering account last made a delivery wait."""
    detail: str = ""
    measure: Measure = Measure()


class Tally(msgspec.Struct, frozen=True):
    """What a worker reports of an account: `calls` that count for its health, of which `failures` failed; the vendor's
    message when the account is `misconfigured`; the end of the pause that the provider asked for; and the probe that
    this worker made and got a response to, identified by the `until_ms` of the health when it was handed out, 0 for
    none."""

    calls: int = 0
    failures: int = 0
    misconfigured: str | None = None
    paused_until_ms: int = 0
    probe: int = 0
