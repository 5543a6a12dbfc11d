"""The demo's table and last line: what counts as sent, skipped, failed and lost, and what makes it fail."""

import msgspec
import pytest

from clarion.domain.channel import CHANNELS
from clarion_lab.demo.report import figures, summarize
from clarion_lab.demo.scenario import Delivery, DemoResult


def delivery(channel="email", state="sent", latency_ms=10.0, attempts=1, reason=None):
    return Delivery(f"dlv_{channel}_{latency_ms}", channel, state, reason, "smtp", attempts, latency_ms)


def ending(*extra, unfinished=()):
    return DemoResult(["ntf_1"], [*(delivery(channel) for channel in CHANNELS), *extra], list(unfinished))


def test_every_state_is_counted_once():
    states = ["sent", "delivered", "skipped", "cancelled", "failed", "dead", "expired", "retrying"]
    found = figures([delivery(state=state) for state in states])
    assert (found.deliveries, found.sent, found.skipped, found.failed) == (8, 2, 2, 3)


def test_percentiles_are_of_sent_messages():
    found = figures(
        [delivery(latency_ms=float(n)) for n in range(1, 101)] + [delivery(state="skipped", latency_ms=None)]
    )
    assert (found.p50_ms, found.p99_ms) == (50.0, 99.0)
    assert figures([]).p50_ms is None


def test_a_demo_passes_when_nothing_is_lost_and_every_channel_sent():
    summary = summarize(ending(delivery(state="skipped", latency_ms=None)), [])
    assert summary.passed
    line = msgspec.json.decode(summary.line())
    assert list(line) == [
        "accepted", "deliveries", "sent", "skipped", "failed", "lost", "channels", "p50_ms", "p99_ms"
    ]  # fmt: skip
    assert (line["accepted"], line["deliveries"], line["sent"], line["skipped"], line["lost"]) == (1, 9, 8, 1, 0)
    assert set(line["channels"]) == set(CHANNELS)


@pytest.mark.parametrize(
    ("end", "missing", "lost"),
    [
        (ending(delivery(state="retrying")), [], 1),
        (ending(unfinished=["ntf_2"]), [], 1),
        (ending(), ["dlv_1", "dlv_2"], 2),
        (DemoResult(["ntf_1"], [delivery(channel) for channel in CHANNELS[1:]], []), [], 0),
        (DemoResult(["ntf_1"], [delivery(channel, state="failed") for channel in CHANNELS], []), [], 0),
    ],
)
def test_conditions_that_fail_a_demo(end, missing, lost):
    summary = summarize(end, missing)
    assert summary.lost == lost
    assert not summary.passed
