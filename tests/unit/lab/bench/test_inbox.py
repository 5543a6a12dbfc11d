"""The case inbox: its line, and when it fails."""

from clarion_lab.bench.inbox import P99_MS_MAX, outcome

MS = 1_000_000


def test_the_slowest_reads_decide():
    fast = outcome(1_000, [2 * MS] * 1_000, [9 * MS])
    assert fast.passed
    assert (fast.line["p50_ms"], fast.line["p99_ms"], fast.line["counts_p50_ms"]) == (2.0, 2.0, 9.0)
    slow = outcome(1_000, [2 * MS] * 980 + [int((P99_MS_MAX + 1) * MS)] * 20, [9 * MS])
    assert not slow.passed and slow.line["passed"] is False


def test_no_reads_are_no_result():
    assert not outcome(1_000, [], []).passed
