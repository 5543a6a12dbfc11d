"""For any requests of several workers, in any order: limits hold, and everything is sent in the end."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.channel import LANES, Lane
from clarion.domain.limits_delivery import PACE_BURST_MS, PACE_CALLS_SPAN_MS, PARK_MS_MAX
from tests.unit.deliver.paces import Site

WORKERS = 3
FIGURES = st.none() | st.integers(1, 5) | st.integers(1, 200)


class Move(NamedTuple):
    """One batch: how long after the one before, which worker, how many, to whom, in which lane, and what ends or is given
    back beforehand."""

    after_ms: int
    worker: int
    number: int
    people: int
    lane: Lane
    waited: bool
    ended: int
    given_back: int


MOVES = st.lists(
    st.builds(
        Move,
        st.integers(0, 5) | st.integers(0, 2_000) | st.integers(0, PACE_CALLS_SPAN_MS),
        st.integers(0, WORKERS - 1),
        st.integers(1, 30),
        st.integers(1, 12),
        st.sampled_from(LANES),
        st.booleans(),
        st.integers(0, 30),
        st.integers(0, 3),
    ),
    max_size=40,
)


class Ledger:
    """The calls that a provider sees."""

    def __init__(self, site):
        self.site = site
        self.sent = []
        self.last_to = {}
        self.under_way = [0] * WORKERS

    def draw(self, worker, number, people, lane, waited=()):
        addresses = [f"+{index % people}" for index in range(number)]
        times = self.site.draw(0, to=addresses, worker=worker, lane=lane, waited=waited)
        now_ms = self.site.clock.now_ms()
        for address, time_ms in zip(addresses, times, strict=True):
            if time_ms is None:
                self.sent.append((now_ms, address))
                self.under_way[worker] += 1
            else:
                assert time_ms > now_ms
        return times

    def end(self, worker, number):
        for _ in range(min(number, self.under_way[worker])):
            self.under_way[worker] -= 1
            self.site.paces[worker].end_call(self.site.account)

    def give_back(self, worker, number):
        """As when a breaker refuses right after the limits granted."""
        for _ in range(number):
            self.sent.pop()
        self.under_way[worker] -= number
        self.site.paces[worker].give_back(self.site.account, number)

    def check(self, per_second, per_day, concurrent, interval_ms):
        if per_second is not None:
            burst = max(1, per_second * PACE_BURST_MS // 1000)
            for first, (begin_ms, _) in enumerate(self.sent):
                for last in range(first, len(self.sent)):
                    passed_ms = self.sent[last][0] - begin_ms
                    assert (last - first + 1) * 1000 <= burst * 1000 + per_second * passed_ms
        if per_day is not None:
            assert len(self.sent) <= per_day
        if interval_ms is not None:
            before = {}
            for time_ms, address in self.sent:
                assert time_ms - before.get(address, -interval_ms) >= interval_ms
                before[address] = time_ms
        if concurrent is not None:
            assert sum(self.under_way) <= concurrent


def play(moves, **limits):
    site = Site(WORKERS, **limits)
    ledger = Ledger(site)
    figures = [limits.get(name) for name in ("per_second", "per_day", "concurrent", "recipient_interval_ms")]
    for move in moves:
        site.after(move.after_ms)
        ledger.end(move.worker, move.ended)
        times = ledger.draw(
            move.worker, move.number, move.people, move.lane, [move.waited] * move.number if move.waited else ()
        )
        back = min(move.given_back, times.count(None))
        if limits.get("recipient_interval_ms") is None and back:
            ledger.give_back(move.worker, back)
        if limits.get("concurrent") is not None:
            assert sum(ledger.under_way) <= limits["concurrent"]
    ledger.check(*figures)
    return ledger


@given(MOVES, st.integers(1, 5) | st.integers(1, 500))
def test_no_window_sees_more_than_the_rate_and_the_burst(moves, per_second):
    play(moves, per_second=per_second)


@given(MOVES, st.integers(1, 300))
def test_no_day_sees_more_than_its_figure(moves, per_day):
    play([move for move in moves if move.after_ms < 2_001], per_day=per_day)


@given(MOVES, st.integers(1, 20))
def test_no_more_calls_are_under_way_while_no_worker_dies(moves, concurrent):
    # Each worker reports in every span of time, as it does when calls end at all.
    play([move._replace(after_ms=min(move.after_ms, 2_000)) for move in moves], concurrent=concurrent)


@given(MOVES, st.integers(1, 1_000) | st.integers(1, 10_000_000))
def test_no_recipient_gets_two_messages_in_an_interval(moves, interval_ms):
    play(moves, recipient_interval_ms=interval_ms)


@pytest.mark.slow
@given(
    MOVES, FIGURES, st.none() | st.integers(1, 300), st.none() | st.integers(1, 20), st.none() | st.integers(1, 9_000)
)
def test_all_limits_hold_together(moves, per_second, per_day, concurrent, interval_ms):
    limits = {
        "per_second": per_second,
        "per_day": per_day,
        "concurrent": concurrent,
        "recipient_interval_ms": interval_ms,
    }
    play(
        [move._replace(after_ms=min(move.after_ms, 2_000)) for move in moves],
        **{name: figure for name, figure in limits.items() if figure is not None},
    )


class Waiting(NamedTuple):
    """A delivery under way, as a worker holds it."""

    due_ms: int
    lane: Lane
    worker: int
    again: bool


def drain(site, counts):
    """Let deliveries of all lanes arrive at once, return at their promised times, and end their calls after 300 ms.

    Return when the last one of each lane was sent."""
    waiting = [
        Waiting(site.clock.now_ms(), lane, index % WORKERS, again=False)
        for lane, count in zip(LANES, counts, strict=True)
        for index in range(count)
    ]
    calls, last, turns = [], {}, 0
    while waiting or calls:
        turns += 1
        assert turns < 5_000, "somebody starves"
        due_ms = min([each.due_ms for each in waiting] + [end_ms for end_ms, _ in calls])
        site.after(max(1, due_ms - site.clock.now_ms()))
        now_ms = site.clock.now_ms()
        for call in [call for call in calls if call[0] <= now_ms]:
            calls.remove(call)
            site.paces[call[1]].end_call(site.account)
        for worker in range(WORKERS):
            for lane in LANES:
                own = [each for each in waiting if each.due_ms <= now_ms and each[1:3] == (lane, worker)]
                times = site.draw(len(own), lane=lane, worker=worker, waited=[each.again for each in own])
                for each, time_ms in zip(own, times, strict=True):
                    waiting.remove(each)
                    if time_ms is None:
                        calls.append((now_ms + 300, worker))
                        last[lane] = now_ms
                    else:
                        assert now_ms < time_ms <= now_ms + PARK_MS_MAX
                        waiting.append(each._replace(due_ms=time_ms, again=True))
    return last


@pytest.mark.slow
@given(
    st.tuples(*[st.integers(0, 40)] * 4),
    st.integers(1, 50),
    st.none() | st.integers(1, 10),
)
def test_everything_is_sent_in_the_end(counts, per_second, concurrent):
    limits = {"per_second": per_second} | ({} if concurrent is None else {"concurrent": concurrent})
    site = Site(WORKERS, **limits)
    begin_ms = site.clock.now_ms()
    last = drain(site, counts)
    # Each worker promises times for itself, so some deliveries that return are deferred once more.
    slowest = min(per_second, 1_000 / 300 * (concurrent or 1_000))
    assert max(last.values(), default=begin_ms) - begin_ms <= 10_000 + 4_000 * sum(counts) / slowest


def test_the_more_urgent_lanes_are_through_first():
    site = Site(WORKERS, per_second=10)
    last = drain(site, (20, 20, 20, 20))
    assert max(last[Lane.CRITICAL], last[Lane.HIGH]) < min(last[Lane.NORMAL], last[Lane.BULK])
