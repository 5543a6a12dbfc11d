"""When an account counts as down, and how it is used again.

    closed, degraded --(too many failures, or misconfigured)--> open --(its time is over, a worker asks)--> half_open
    half_open --(the probe failed)--> open, for twice as long; --(the probe succeeded)--> recovering
    recovering --(nothing waited for a minute)--> closed; --(too many failures)--> open

Pure: functions take and return account health; times are milliseconds of one monotonic clock.
"""

from msgspec.structs import replace

from clarion.deliver.rules.call_windows import count_calls, guess_pace, measure_pace, within
from clarion.domain.account_health import AccountHealth, Measure, Tally
from clarion.domain.limits_delivery import (
    DEGRADED_UNTIL_SHARE,
    HEALTH_AHEAD_MS_MAX,
    OPENS_DOUBLED_MAX,
    PROBE_MS_MAX,
    PROBE_WAIT_MS,
    RECOVERY_BURST_MS,
    RECOVERY_DOUBLING_MS,
    RECOVERY_DOUBLINGS_MAX,
    RECOVERY_PACE_M_MIN,
    RECOVERY_QUIET_MS,
    RECOVERY_SHARE,
)
from clarion.domain.resilience import Breaker

_MESSAGE_M = 1_000


def current(health: AccountHealth, version: int, now_ms: int) -> AccountHealth:
    """Return the health of an account in this version; a new one in place of health of another version or from before a
    restart of the machine."""
    newest_ms = max(health.changed_ms, health.used_at_ms, health.measure.since_ms)
    if health.version != version or newest_ms > now_ms + HEALTH_AHEAD_MS_MAX:
        return AccountHealth(version=version)
    return health


def age(health: AccountHealth, breaker: Breaker, version: int, now_ms: int) -> AccountHealth:
    """Return the health as time alone has changed it: a recovery ends, and the failures that degraded an account
    expire."""
    health = current(health, version, now_ms)
    if health.state == "recovering":
        return _end_recovery(health, now_ms)
    return _grade(health, breaker, now_ms) if health.state == "degraded" else health


def observe(health: AccountHealth, breaker: Breaker, version: int, now_ms: int, tally: Tally) -> AccountHealth:
    """Return the health after a worker's tally. While an account is open or half open, only the result of the probe
    counts: all other calls began before."""
    health = current(health, version, now_ms)
    if tally.paused_until_ms > health.paused_until_ms:
        health = replace(health, paused_until_ms=tally.paused_until_ms)
    match health.state:
        case "open":
            return health
        case "half_open":
            return _apply_probe(health, breaker, now_ms, tally)
        case _:
            return _count_calls(_end_recovery(health, now_ms), breaker, now_ms, tally)


def report(
    health: AccountHealth, breaker: Breaker, version: int, now_ms: int, tally: Tally, given_back: int = 0
) -> AccountHealth:
    """Return the health after a worker's whole report: a probe it returns unused, and its calls. Time passes with
    either."""
    if given_back:
        health = return_probe(health, version, now_ms, given_back)
    health = age(health, breaker, version, now_ms)
    return health if tally == Tally() else observe(health, breaker, version, now_ms, tally)


def admit_calls(
    health: AccountHealth, breaker: Breaker, version: int, now_ms: int, wanted: int
) -> tuple[AccountHealth, int, int]:
    """Return the health after a request for `wanted` calls, the number granted, and when the rest may be requested
    again (`now_ms` when there is no rest)."""
    health = age(health, breaker, version, now_ms)
    if wanted <= 0:
        return health, 0, now_ms
    if now_ms < health.paused_until_ms:
        if health.state == "recovering":
            health = replace(health, refused_ms=now_ms)
        return health, 0, health.paused_until_ms
    match health.state:
        case "closed" | "degraded":
            return health, wanted, now_ms
        case "recovering":
            return _apply_pace(health, now_ms, wanted)
        case "half_open" if now_ms < health.until_ms:
            return health, 0, min(now_ms + PROBE_WAIT_MS, health.until_ms)
        case "open" if now_ms < health.until_ms:
            return health, 0, health.until_ms
        case _:
            # Its time is over, or the worker that had the probe never reported.
            probing = replace(health, state="half_open", changed_ms=now_ms, until_ms=now_ms + PROBE_MS_MAX)
            return probing, 1, now_ms if wanted == 1 else now_ms + PROBE_WAIT_MS


def return_probe(health: AccountHealth, version: int, now_ms: int, probe: int) -> AccountHealth:
    """Return the health after a probe was granted and not used: the next worker that asks gets it."""
    health = current(health, version, now_ms)
    if health.state == "half_open" and health.until_ms == probe:
        return replace(health, state="open", changed_ms=now_ms, until_ms=now_ms)
    return health


def pace_m(health: AccountHealth, now_ms: int) -> int:
    """Return the pace of a recovering account, in thousandths of a message per second."""
    doublings = min(max(now_ms - health.changed_ms, 0) // RECOVERY_DOUBLING_MS, RECOVERY_DOUBLINGS_MAX)
    return int(max(int(health.rate_m * RECOVERY_SHARE), RECOVERY_PACE_M_MIN) << doublings)


def _apply_probe(health: AccountHealth, breaker: Breaker, now_ms: int, tally: Tally) -> AccountHealth:
    if tally.probe != health.until_ms:
        return health
    if tally.misconfigured is not None:
        return _open(health, breaker, now_ms, tally.misconfigured)
    if tally.failures:
        return _open(health, breaker, now_ms, health.detail)
    recovering = replace(health, state="recovering", changed_ms=now_ms, until_ms=0, slots=(), refused_ms=now_ms)
    # The bucket begins full, so that the backlog is not sent all at once.
    return replace(recovering, used_m=_capacity_m(pace_m(recovering, now_ms)), used_at_ms=now_ms)


def _count_calls(health: AccountHealth, breaker: Breaker, now_ms: int, tally: Tally) -> AccountHealth:
    """Return the health of an account in use after its calls were counted."""
    if tally.calls:
        slots = count_calls(health.slots, breaker, now_ms, tally.calls, tally.failures)
        health = replace(health, slots=slots)
        if health.state != "recovering":
            rate_m, measure = measure_pace(
                health.rate_m, health.measure, now_ms, tally.calls, tally.failures, breaker.failure_rate
            )
            health = replace(health, rate_m=rate_m, measure=measure)
    if tally.misconfigured is not None:
        return _open(health, breaker, now_ms, tally.misconfigured)
    calls, failures = within(health.slots, breaker.window_ms, now_ms)
    if calls >= breaker.calls_min and failures > breaker.failure_rate * calls:
        return _open(health, breaker, now_ms, _words(failures, calls, breaker.window_ms))
    return health if health.state == "recovering" else _grade(health, breaker, now_ms)


def _grade(health: AccountHealth, breaker: Breaker, now_ms: int) -> AccountHealth:
    calls, failures = within(health.slots, breaker.degraded_window_ms, now_ms)
    if health.state == "closed":
        if calls >= breaker.degraded_calls_min and failures > breaker.degraded_rate * calls:
            detail = _words(failures, calls, breaker.degraded_window_ms)
            return replace(health, state="degraded", changed_ms=now_ms, detail=detail)
        return health
    few = calls < DEGRADED_UNTIL_SHARE * breaker.degraded_calls_min
    if few or failures < DEGRADED_UNTIL_SHARE * breaker.degraded_rate * calls:
        return replace(health, state="closed", changed_ms=now_ms, detail="")
    return health


def _open(health: AccountHealth, breaker: Breaker, now_ms: int, detail: str) -> AccountHealth:
    pause_ms = min(breaker.open_ms << min(health.opens, OPENS_DOUBLED_MAX), breaker.open_max_ms)
    return replace(
        health,
        state="open",
        changed_ms=now_ms,
        until_ms=now_ms + pause_ms,
        opens=health.opens + 1,
        rate_m=health.rate_m or guess_pace(health.measure, now_ms),
        slots=(),
        detail=detail,
        measure=Measure(covered_ms=health.measure.covered_ms),
    )


def _end_recovery(health: AccountHealth, now_ms: int) -> AccountHealth:
    """Return the health, closed when a recovering account made no delivery wait for `RECOVERY_QUIET_MS`."""
    if health.state != "recovering" or now_ms - health.refused_ms < RECOVERY_QUIET_MS:
        return health
    return replace(health, state="closed", changed_ms=now_ms, opens=0, detail="")


def _apply_pace(health: AccountHealth, now_ms: int, wanted: int) -> tuple[AccountHealth, int, int]:
    """Return what the pace of a recovering account admits, as `admit_calls` does: a leaky bucket."""
    pace = pace_m(health, now_ms)
    capacity_m = _capacity_m(pace)
    passed_ms = max(now_ms - health.used_at_ms, 0)
    used_m = max(health.used_m - pace * passed_ms // 1_000, 0)
    granted = min(wanted, max(capacity_m - used_m, 0) // _MESSAGE_M)
    used_m += granted * _MESSAGE_M
    health = replace(health, used_m=used_m, used_at_ms=max(now_ms, health.used_at_ms))
    if granted == wanted:
        return health, granted, now_ms
    wait_ms = max(-((capacity_m - used_m - _MESSAGE_M) * 1_000 // pace), 1)
    return replace(health, refused_ms=now_ms), granted, now_ms + wait_ms


def _capacity_m(pace: int) -> int:
    return max(pace * RECOVERY_BURST_MS // 1_000, _MESSAGE_M)


def _words(failures: int, calls: int, window_ms: int) -> str:
    return f"{failures} of {calls} calls failed within {window_ms // 1_000} s"
