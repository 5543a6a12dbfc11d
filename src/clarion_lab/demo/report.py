"""The report of the demo: a table per channel for people, one JSON object for programs, and the verdict of both."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.table import Table

from clarion.domain.channel import CHANNELS
from clarion_lab.demo.scenario import Delivery, DemoResult

_SENT: Final = frozenset({"sent", "delivered"})
_SKIPPED: Final = frozenset({"skipped", "cancelled", "merged"})


class Figures(msgspec.Struct, frozen=True):
    """Counts of deliveries, and their latencies (from acceptance to the end, sent ones only, in milliseconds)."""

    deliveries: int
    sent: int
    skipped: int
    failed: int
    retried: int
    p50_ms: float | None
    p99_ms: float | None


class Summary(msgspec.Struct, frozen=True):
    """The last line of a demo. `lost` counts notifications that never finished and mail that was sent but did not
    arrive."""

    accepted: int
    deliveries: int
    sent: int
    skipped: int
    failed: int
    lost: int
    channels: dict[str, Figures]
    p50_ms: float | None
    p99_ms: float | None

    @property
    def passed(self) -> bool:
        """Whether nothing was lost and something was sent on every channel."""
        return self.lost == 0 and all(channel in self.channels and self.channels[channel].sent for channel in CHANNELS)

    def line(self) -> str:
        """Return the summary as one line of JSON."""
        return msgspec.json.encode(self).decode()


def summarize(ending: DemoResult, missing_mails: Sequence[str]) -> Summary:
    """Return the summary of a result; `missing_mails` are deliveries that the mail server did not get."""
    everything = figures(ending.deliveries)
    present = [channel for channel in CHANNELS if any(one.channel == channel for one in ending.deliveries)]
    restless = sum(not one.is_final for one in ending.deliveries)
    return Summary(
        accepted=len(ending.accepted),
        deliveries=everything.deliveries,
        sent=everything.sent,
        skipped=everything.skipped,
        failed=everything.failed,
        lost=max(restless, len(ending.unfinished)) + len(missing_mails),
        channels={str(name): figures([one for one in ending.deliveries if one.channel == name]) for name in present},
        p50_ms=everything.p50_ms,
        p99_ms=everything.p99_ms,
    )


def figures(deliveries: Sequence[Delivery]) -> Figures:
    """Return counts and latencies."""
    states = Counter(delivery.state for delivery in deliveries if delivery.is_final)
    latencies = sorted(delivery.latency_ms for delivery in deliveries if delivery.latency_ms is not None)
    sent = sum(states[state] for state in _SENT)
    skipped = sum(states[state] for state in _SKIPPED)
    return Figures(
        deliveries=len(deliveries),
        sent=sent,
        skipped=skipped,
        failed=states.total() - sent - skipped,
        retried=sum(delivery.attempts > 1 for delivery in deliveries),
        p50_ms=_percentile(latencies, 50),
        p99_ms=_percentile(latencies, 99),
    )


def table(summary: Summary, ending: DemoResult) -> Table:
    """Return the table of outcomes per channel, with the reasons of deliveries that were not sent."""
    shown = Table(
        "channel",
        "all",
        "sent",
        "skipped",
        "failed",
        "retried",
        "p50 ms",
        "p99 ms",
        "why not",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for column in shown.columns[:8]:
        column.no_wrap = True
        column.justify = "left" if column is shown.columns[0] else "right"
    for channel, one in summary.channels.items():
        reasons = Counter(row.reason for row in ending.deliveries if row.channel == channel and row.reason)
        cause = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        counts = (one.deliveries, one.sent, one.skipped, one.failed, one.retried)
        shown.add_row(channel, *map(str, counts), _ms(one.p50_ms), _ms(one.p99_ms), cause)
    return shown


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return the nearest-rank percentile of sorted values."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None
