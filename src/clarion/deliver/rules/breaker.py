"""When an account counts as down, and how it is used again.

    closed, degraded --(too many failures, or misconfigured)--> open --(its time is over, somebody asks)--> half_open
    half_open --(the probe failed)--> open, for twice as long; --(it went well)--> recovering
    recovering --(nothing waited for a minute)--> closed; --(too many failures)--> open

Pure: standings go in and come out, times are of one clock that never goes back and are given in milliseconds.
"""

from msgspec.structs import replace

from clarion.deliver.rules.tallies import counted, guessed, measured, within
from clarion.domain.limits_breakers import (
    DEGRADED_UNTIL_SHARE,
    OPENS_DOUBLED_MAX,
    PROBE_MS_MAX,
    PROBE_WAIT_MS,
    RECOVERY_BURST_MS,
    RECOVERY_DOUBLING_MS,
    RECOVERY_DOUBLINGS_MAX,
    RECOVERY_PACE_M_MIN,
    RECOVERY_QUIET_MS,
    RECOVERY_SHARE,
    STANDING_AHEAD_MS_MAX,
)
from clarion.domain.resilience import Breaker
from clarion.domain.standing import Measure, Standing, Tally

_MESSAGE_M = 1_000


def current(standing: Standing, version: int, now_ms: int) -> Standing:
    """Return the standing of an account in this version: one of another version, or from before the machine was started,
    says nothing about it."""
    newest_ms = max(standing.changed_ms, standing.used_at_ms, standing.measure.since_ms)
    if standing.version != version or newest_ms > now_ms + STANDING_AHEAD_MS_MAX:
        return Standing(version=version)
    return standing


def aged(standing: Standing, breaker: Breaker, version: int, now_ms: int) -> Standing:
    """Return the standing as time alone has changed it: a recovery ends, and what degraded an account is forgotten."""
    standing = current(standing, version, now_ms)
    if standing.state == "recovering":
        return _ended(standing, now_ms)
    return _graded(standing, breaker, now_ms) if standing.state == "degraded" else standing


def observe(standing: Standing, breaker: Breaker, version: int, now_ms: int, tally: Tally) -> Standing:
    """Return the standing after what a worker has to tell. While an account is open or half open, only the answer of the
    probe counts: all else was called before."""
    standing = current(standing, version, now_ms)
    if tally.paused_until_ms > standing.paused_until_ms:
        standing = replace(standing, paused_until_ms=tally.paused_until_ms)
    match standing.state:
        case "open":
            return standing
        case "half_open":
            return _probed(standing, breaker, now_ms, tally)
        case _:
            return _used(_ended(standing, now_ms), breaker, now_ms, tally)


def told(
    standing: Standing, breaker: Breaker, version: int, now_ms: int, tally: Tally, given_back: int = 0
) -> Standing:
    """Return the standing after a worker told all it had to: a probe it did not make, and its calls. Time goes on with
    either."""
    if given_back:
        standing = unprobed(standing, version, now_ms, given_back)
    standing = aged(standing, breaker, version, now_ms)
    return standing if tally == Tally() else observe(standing, breaker, version, now_ms, tally)


def admission(
    standing: Standing, breaker: Breaker, version: int, now_ms: int, wanted: int
) -> tuple[Standing, int, int]:
    """Return the standing after somebody asked for `wanted` calls, how many are granted, and when the others may ask again
    (`now_ms` when there are none)."""
    standing = aged(standing, breaker, version, now_ms)
    if wanted <= 0:
        return standing, 0, now_ms
    if now_ms < standing.paused_until_ms:
        if standing.state == "recovering":
            standing = replace(standing, refused_ms=now_ms)
        return standing, 0, standing.paused_until_ms
    match standing.state:
        case "closed" | "degraded":
            return standing, wanted, now_ms
        case "recovering":
            return _paced(standing, now_ms, wanted)
        case "half_open" if now_ms < standing.until_ms:
            return standing, 0, min(now_ms + PROBE_WAIT_MS, standing.until_ms)
        case "open" if now_ms < standing.until_ms:
            return standing, 0, standing.until_ms
        case _:
            # Its time is over, or whoever had the probe never told.
            probing = replace(standing, state="half_open", changed_ms=now_ms, until_ms=now_ms + PROBE_MS_MAX)
            return probing, 1, now_ms if wanted == 1 else now_ms + PROBE_WAIT_MS


def unprobed(standing: Standing, version: int, now_ms: int, probe: int) -> Standing:
    """Return the standing after a probe was handed out and no call came of it: the next one who asks gets it."""
    standing = current(standing, version, now_ms)
    if standing.state == "half_open" and standing.until_ms == probe:
        return replace(standing, state="open", changed_ms=now_ms, until_ms=now_ms)
    return standing


def pace_m(standing: Standing, now_ms: int) -> int:
    """Return the pace of a recovering account, in thousandths of a message per second."""
    doublings = min(max(now_ms - standing.changed_ms, 0) // RECOVERY_DOUBLING_MS, RECOVERY_DOUBLINGS_MAX)
    return int(max(int(standing.rate_m * RECOVERY_SHARE), RECOVERY_PACE_M_MIN) << doublings)


def _probed(standing: Standing, breaker: Breaker, now_ms: int, tally: Tally) -> Standing:
    if tally.probe != standing.until_ms:
        return standing
    if tally.misconfigured is not None:
        return _opened(standing, breaker, now_ms, tally.misconfigured)
    if tally.failures:
        return _opened(standing, breaker, now_ms, standing.detail)
    recovering = replace(standing, state="recovering", changed_ms=now_ms, until_ms=0, slots=(), refused_ms=now_ms)
    # The bucket begins full, so that what waited does not come all at once.
    return replace(recovering, used_m=_capacity_m(pace_m(recovering, now_ms)), used_at_ms=now_ms)


def _used(standing: Standing, breaker: Breaker, now_ms: int, tally: Tally) -> Standing:
    """Return the standing of an account in use after its calls were counted."""
    if tally.calls:
        slots = counted(standing.slots, breaker, now_ms, tally.calls, tally.failures)
        standing = replace(standing, slots=slots)
        if standing.state != "recovering":
            rate_m, measure = measured(
                standing.rate_m, standing.measure, now_ms, tally.calls, tally.failures, breaker.failure_rate
            )
            standing = replace(standing, rate_m=rate_m, measure=measure)
    if tally.misconfigured is not None:
        return _opened(standing, breaker, now_ms, tally.misconfigured)
    calls, failures = within(standing.slots, breaker.window_ms, now_ms)
    if calls >= breaker.calls_min and failures > breaker.failure_rate * calls:
        return _opened(standing, breaker, now_ms, _words(failures, calls, breaker.window_ms))
    return standing if standing.state == "recovering" else _graded(standing, breaker, now_ms)


def _graded(standing: Standing, breaker: Breaker, now_ms: int) -> Standing:
    calls, failures = within(standing.slots, breaker.degraded_window_ms, now_ms)
    if standing.state == "closed":
        if calls >= breaker.degraded_calls_min and failures > breaker.degraded_rate * calls:
            detail = _words(failures, calls, breaker.degraded_window_ms)
            return replace(standing, state="degraded", changed_ms=now_ms, detail=detail)
        return standing
    few = calls < DEGRADED_UNTIL_SHARE * breaker.degraded_calls_min
    if few or failures < DEGRADED_UNTIL_SHARE * breaker.degraded_rate * calls:
        return replace(standing, state="closed", changed_ms=now_ms, detail="")
    return standing


def _opened(standing: Standing, breaker: Breaker, now_ms: int, detail: str) -> Standing:
    pause_ms = min(breaker.open_ms << min(standing.opens, OPENS_DOUBLED_MAX), breaker.open_max_ms)
    return replace(
        standing,
        state="open",
        changed_ms=now_ms,
        until_ms=now_ms + pause_ms,
        opens=standing.opens + 1,
        rate_m=standing.rate_m or guessed(standing.measure, now_ms),
        slots=(),
        detail=detail,
        measure=Measure(covered_ms=standing.measure.covered_ms),
    )


def _ended(standing: Standing, now_ms: int) -> Standing:
    """Return a standing that is no longer recovering when nothing waited for long."""
    if standing.state != "recovering" or now_ms - standing.refused_ms < RECOVERY_QUIET_MS:
        return standing
    return replace(standing, state="closed", changed_ms=now_ms, opens=0, detail="")


def _paced(standing: Standing, now_ms: int, wanted: int) -> tuple[Standing, int, int]:
    """Return what the pace of a recovering account lets through: a bucket that leaks."""
    pace = pace_m(standing, now_ms)
    capacity_m = _capacity_m(pace)
    passed_ms = max(now_ms - standing.used_at_ms, 0)
    used_m = max(standing.used_m - pace * passed_ms // 1_000, 0)
    granted = min(wanted, max(capacity_m - used_m, 0) // _MESSAGE_M)
    used_m += granted * _MESSAGE_M
    standing = replace(standing, used_m=used_m, used_at_ms=max(now_ms, standing.used_at_ms))
    if granted == wanted:
        return standing, granted, now_ms
    wait_ms = max(-((capacity_m - used_m - _MESSAGE_M) * 1_000 // pace), 1)
    return replace(standing, refused_ms=now_ms), granted, now_ms + wait_ms


def _capacity_m(pace: int) -> int:
    return max(pace * RECOVERY_BURST_MS // 1_000, _MESSAGE_M)


def _words(failures: int, calls: int, window_ms: int) -> str:
    return f"{failures} of {calls} calls failed within {window_ms // 1_000} s"
