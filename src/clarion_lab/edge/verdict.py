"""The figures of an edge run, and the rules that they have to keep."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from clarion_lab.edge.honest import Sample

ATTACKS_MIN: Final = 14
HEALTH_FAILURES_MAX: Final = 0
HONEST_ERRORS_MAX: Final = 0
LOST_MAX: Final = 0
SERVER_ERRORS_MAX: Final = 0
RESTARTS_MAX: Final = 0
RSS_MB_GROWTH_MAX: Final = 50.0
LOOP_LAG_MS_MAX: Final = 100.0
P99_RATIO_MAX: Final = 2.0
P99: Final = 0.99
MIB: Final = 1024 * 1024
SERVER_ERROR: Final = 500


class Landed(NamedTuple):
    """How often an attack reached the server, and the least number that counts."""

    number: int
    floor: int


class AttackFigures(NamedTuple):
    """One attack. The CPU shares are of one core; `calm_p99_ms` is that of the calm phase that followed it, in which
    harmless processes took the same CPU."""

    name: str
    landed: Landed
    statuses: Mapping[str, int]
    attacker_cpu: float
    api_cpu: float
    rss_mb_growth: float
    loop_lag_ms: float
    p99_ms: float
    calm_p99_ms: float
    probe_p99_ms: float
    honest_errors: int
    health_failures: int


class Figures(NamedTuple):
    """A whole run. `honest` counts notifications and the clients of `connections_many`, `connections`, of which
    `connections_answered` got a 200. `lost` are acknowledged notifications that did not reach the provider; the `rss_mb` are the resident
    memory of the API process before the first attack, at its peak and after the last one, and `uss_mb` its own memory
    before and after."""

    attacks: Sequence[AttackFigures]
    honest: int
    connections: int
    connections_answered: int
    lost: int
    restarts: int
    rss_mb: tuple[float, float, float]
    uss_mb: tuple[float, float]
    loop_lag_by: str
    p99_ms: float
    calm_p99_ms: float
    probe_p99_ms: float
    honest_errors: int
    health_failures: int

    @property
    def rss_mb_growth(self) -> float:
        """Return the growth of the resident memory to its peak."""
        return round(self.rss_mb[1] - self.rss_mb[0], 1)

    @property
    def loop_lag_ms_max(self) -> float:
        """Return the longest stretch of CPU on the API's event loop."""
        return max((attack.loop_lag_ms for attack in self.attacks), default=0.0)

    @property
    def honest_p99_ratio(self) -> float:
        """Return the p99 of honest requests under attack, relative to that beside harmless processes."""
        return ratio(self.p99_ms, self.calm_p99_ms)

    @property
    def server_errors(self) -> int:
        """Return the responses to attackers that say that the server failed."""
        return sum(attack.statuses.get(str(SERVER_ERROR), 0) for attack in self.attacks)

    def line(self) -> dict[str, Any]:
        """Return the fields of the JSON line."""
        worst = max(self.attacks, key=lambda attack: ratio(attack.p99_ms, attack.calm_p99_ms), default=None)
        return {
            "case": "edge",
            "attacks": len(self.attacks),
            "attacks_landed": {attack.name: attack.landed.number for attack in self.attacks},
            "floors": {attack.name: attack.landed.floor for attack in self.attacks},
            "honest": self.honest,
            "honest_connections": self.connections,
            "honest_connections_answered": self.connections_answered,
            "health_failures": self.health_failures,
            "honest_errors": self.honest_errors,
            "lost": self.lost,
            "server_errors": self.server_errors,
            "api_restarts": self.restarts,
            "rss_mb_growth": self.rss_mb_growth,
            "rss_mb": [round(size, 1) for size in self.rss_mb],
            "uss_mb": [round(size, 1) for size in self.uss_mb],
            "loop_lag_ms_max": self.loop_lag_ms_max,
            "loop_lag_by": self.loop_lag_by,
            "honest_p99_ms": self.p99_ms,
            "calm_p99_ms": self.calm_p99_ms,
            "honest_p99_ratio": self.honest_p99_ratio,
            "worst_p99_ratio": {worst.name: ratio(worst.p99_ms, worst.calm_p99_ms)} if worst else {},
            "health_p99_ms": self.probe_p99_ms,
        }


def combined(runs: Sequence[Figures]) -> Figures:
    """Return the figures of several installations as those of one: sums of what must not be, and of the installations'
    latencies and memory the worst."""
    slowest = max(runs, key=lambda one: one.honest_p99_ratio)
    largest = max(runs, key=lambda one: one.rss_mb_growth)
    busiest = max(runs, key=lambda one: one.loop_lag_ms_max)
    return Figures(
        attacks=[attack for one in runs for attack in one.attacks],
        honest=sum(one.honest for one in runs),
        connections=sum(one.connections for one in runs),
        connections_answered=sum(one.connections_answered for one in runs),
        lost=sum(one.lost for one in runs),
        restarts=sum(one.restarts for one in runs),
        rss_mb=largest.rss_mb,
        uss_mb=largest.uss_mb,
        loop_lag_by=busiest.loop_lag_by,
        p99_ms=slowest.p99_ms,
        calm_p99_ms=slowest.calm_p99_ms,
        probe_p99_ms=max(one.probe_p99_ms for one in runs),
        honest_errors=sum(one.honest_errors for one in runs),
        health_failures=sum(one.health_failures for one in runs),
    )


def failed_rules(figures: Figures) -> list[str]:
    """Return a sentence for each rule that was not kept, with its figure; an attack that is the cause is named."""
    failed = [
        f"attacks_landed: {attack.name} reached the server {attack.landed.number} times, at least {attack.landed.floor} needed"
        for attack in figures.attacks
        if attack.landed.number < attack.landed.floor
    ]
    if len(figures.attacks) < ATTACKS_MIN:
        failed.append(f"attacks is {len(figures.attacks)}, at least {ATTACKS_MIN} needed")
    if figures.connections_answered < figures.connections:
        failed.append(
            f"honest_connections_answered is {figures.connections_answered}, at least {figures.connections} needed"
        )
    for name, value, most in (
        ("health_failures", figures.health_failures, HEALTH_FAILURES_MAX),
        ("honest_errors", figures.honest_errors, HONEST_ERRORS_MAX),
        ("lost", figures.lost, LOST_MAX),
        ("server_errors", figures.server_errors, SERVER_ERRORS_MAX),
        ("api_restarts", figures.restarts, RESTARTS_MAX),
        ("rss_mb_growth", figures.rss_mb_growth, RSS_MB_GROWTH_MAX),
        ("loop_lag_ms_max", figures.loop_lag_ms_max, LOOP_LAG_MS_MAX),
        ("honest_p99_ratio", figures.honest_p99_ratio, P99_RATIO_MAX),
    ):
        if value > most:
            failed.append(f"{name} is {value:g}, at most {most:g} permitted{_causes(figures, name)}")
    return failed


def _causes(figures: Figures, rule: str) -> str:
    """Return the attacks that broke a rule, for those that are measured for each attack."""
    by_rule: dict[str, Callable[[AttackFigures], bool]] = {
        "health_failures": lambda one: one.health_failures > HEALTH_FAILURES_MAX,
        "honest_errors": lambda one: one.honest_errors > HONEST_ERRORS_MAX,
        "server_errors": lambda one: one.statuses.get(str(SERVER_ERROR), 0) > SERVER_ERRORS_MAX,
        "rss_mb_growth": lambda one: one.rss_mb_growth > RSS_MB_GROWTH_MAX,
        "loop_lag_ms_max": lambda one: one.loop_lag_ms > LOOP_LAG_MS_MAX,
        "honest_p99_ratio": lambda one: ratio(one.p99_ms, one.calm_p99_ms) > P99_RATIO_MAX,
    }
    broke = by_rule.get(rule)
    names = [attack.name for attack in figures.attacks if broke is not None and broke(attack)]
    return f" ({', '.join(names)})" if names else ""


def ratio(value: float, base: float) -> float:
    """Return a ratio; infinite when there is nothing to compare with."""
    return round(value / base, 2) if base > 0 else float("inf")


def p99_ms(samples: Sequence[Sample]) -> float:
    """Return the 99th percentile of the latency of all samples, errors too; 0 without samples."""
    ordered = sorted(sample.took_ns for sample in samples)
    return round(ordered[min(int(len(ordered) * P99), len(ordered) - 1)] / 1e6, 1) if ordered else 0.0


def errors(samples: Sequence[Sample]) -> list[str]:
    """Return the reasons of all errors."""
    return [sample.error for sample in samples if sample.error]


def between(samples: Sequence[Sample], from_ns: int, to_ns: int) -> list[Sample]:
    """Return the samples that were due in a span of time."""
    return [sample for sample in samples if from_ns <= sample.at_ns < to_ns]


def lost(acknowledged: Sequence[str], received: Sequence[str]) -> list[str]:
    """Return the ids of acknowledged notifications of which the provider has no message. `received` are the ids of
    deliveries, which begin with the hex digits of their notification."""
    digits = 32
    arrived = {delivery[:digits] for delivery in received}
    return [id_ for id_ in acknowledged if id_.partition("_")[2][:digits] not in arrived]


def lag_ms(before: Mapping[str, Mapping[float, int]], after: Mapping[str, Mapping[float, int]]) -> tuple[float, str]:
    """Return the upper bound in milliseconds of the longest stretch between two readings of stretches by cause and
    bucket (`stretches`), and its cause; 0 when there was none."""
    longest = (0.0, "")
    for by, buckets in after.items():
        earlier = before.get(by, {})
        grown = [bound_s for bound_s, number in buckets.items() if number > earlier.get(bound_s, 0)]
        if grown:
            longest = max(longest, (max(grown) * 1000, by))
    return longest
