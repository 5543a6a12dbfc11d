"""Workflow rules: no step loops, an ended instance stays ended, and windows, throttles and local times hold."""

from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.limits import DIGEST_BYTES_MAX
from clarion.domain.localtime import local_time
from clarion.domain.workflow import Window, Workflow
from clarion.plan.rules.workflow.advance import advance
from clarion.plan.rules.workflow.digest import is_full, join_digest, open_digest
from clarion.plan.rules.workflow.moments import next_at
from clarion.plan.rules.workflow.state import (
    Deliver,
    DigestClosed,
    FetchAnswered,
    InstanceFacts,
    NoValue,
    SignalReceived,
    State,
    TimerFired,
    Triggered,
)
from clarion.plan.rules.workflow.throttle import admit
from tests.contract.journals import START_MS
from tests.stages.flows import ENDINGS

UTC = ZoneInfo("UTC")
HOUR_MS = 3_600_000
ZONES = sorted(available_timezones())
DURATIONS = st.sampled_from(["1s", "5m", "2h", "3d"])


@st.composite
def workflows(draw: st.DrawFn, most: int = 7) -> Workflow:
    """Return a workflow of every kind of step, whose branches lead forward only."""
    number = draw(st.integers(1, most))
    names = [f"s{n}" for n in range(number)]
    steps = []
    for n, name in enumerate(names):
        way = st.none() | st.sampled_from([*names[n + 1 :], "end"])
        kind = draw(st.sampled_from(list(KINDS)))
        step = {"kind": kind, "name": name, "next": draw(way), **draw(KINDS[kind])}
        if kind in ("condition", "throttle"):
            step["otherwise"] = draw(way) or "end"
        if kind == "condition":
            step["then"] = draw(way)
        if kind == "wait_until":
            step["on_timeout"] = draw(way)
        steps.append(step)
    return msgspec.convert({"steps": steps}, Workflow)


KINDS = {
    "send": st.just({"template": "hello"}),
    "delay": st.builds(lambda text: {"for": text}, DURATIONS) | st.just({"at": "09:00"}) | st.just({"until": "data.at"}),
    "digest": st.builds(lambda text: {"window": {"fixed": text}}, DURATIONS),
    "throttle": st.just({"limit": 2, "per": "1h"}),
    "condition": st.sampled_from(["true", "false", "data.broken", "3"]).map(lambda text: {"if": text}),
    "wait_until": st.builds(lambda text: {"timeout": text, "event": "e"}, DURATIONS)
    | st.builds(lambda text: {"timeout": text, "seen": "s0"}, DURATIONS),
    "fetch": st.sampled_from(["end", "continue"]).map(lambda word: {"url": "https://x.test/", "on_error": word}),
    "set": st.just({"values": {"v": "true"}}),
}  # fmt: skip
VALUES = {"true": True, "false": False, "3": 3, "data.at": "2023-11-15T00:00:00Z"}


def evaluate(text: str, names: object) -> object:
    if text not in VALUES:
        raise NoValue(f"{text} has no value")
    return VALUES[text]


class Past(NamedTuple):
    """The history before a move."""

    at_ms: int | None
    times_ms: tuple[int, ...]

    def seen_ms(self) -> int | None:
        return self.at_ms

    def passed(self, step: str, key: str) -> tuple[int, ...]:
        return self.times_ms


def facts(now_ms: int, seen_ms: int | None = None, passed: tuple[int, ...] = ()) -> InstanceFacts:
    return InstanceFacts(now_ms, UTC, {"n": 1}, {}, evaluate, Past(seen_ms, passed))


causes = st.one_of(
    st.just(Triggered()),
    st.integers(0, 4 * 24).map(lambda hours: TimerFired(START_MS + hours * HOUR_MS)),
    st.just(SignalReceived({"a": 1})),
    st.builds(FetchAnswered, st.just(200), st.just({}), st.sampled_from(["", "no"])),
    st.just(DigestClosed([{"n": 1}, {"n": 2}])),
)


@given(workflows(), st.lists(st.tuples(causes, st.integers(0, 48)), max_size=30), st.none() | st.integers(0, 48))
def test_any_causes_in_any_order_move_it_forward_or_not_at_all(workflow, given_causes, expires_h):
    expires_ms = None if expires_h is None else START_MS + expires_h * HOUR_MS
    state, now_ms = State("w", 1, START_MS, expires_ms), START_MS
    visited, ended = [], []
    for cause, hours in [(Triggered(), 0), *given_causes]:
        now_ms += hours * HOUR_MS
        before = msgspec.msgpack.encode(state)
        move = advance(state, workflow, cause, facts(now_ms))
        assert msgspec.msgpack.encode(state) == before, "a state is a value"
        if move.state is state and move.ended is None:
            assert move.effects == []
        visited += [effect.step.name for effect in move.effects if isinstance(effect, Deliver)]
        result = [effect.event for effect in move.effects if getattr(effect, "event", "") in ENDINGS]
        assert result == ([move.ended] if move.ended else [])
        ended += result
        assert (move.state.waiting is not None) or move.ended, "it waits or has ended"
        if move.ended:
            break
        assert move.state.seq >= state.seq
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(move.state), type=State)
    assert len(set(visited)) == len(visited), "no step sends twice"
    assert len(ended) <= 1


@given(workflows(), st.integers(0, 3))
def test_timers_alone_bring_every_instance_to_its_end(workflow, failures):
    state, now_ms, cause = State("w", 1, START_MS), START_MS, Triggered()
    for _ in range(len(workflow.steps) * 15 + 1):
        move = advance(state, workflow, cause, facts(now_ms))
        if move.ended:
            return
        state = move.state
        assert state.waiting is not None
        now_ms = max(now_ms, state.waiting.until_ms)
        cause = DigestClosed([{}]) if state.waiting.kind == "digest" else TimerFired(now_ms)
        if state.waiting.kind == "fetch" and failures:
            cause = FetchAnswered(error="no")
    raise AssertionError("it never ended")


@given(st.lists(st.integers(0, 3 * HOUR_MS), max_size=40), st.integers(1, 5))
def test_a_throttle_lets_no_more_pass_in_any_span(steps_ms, limit):
    now_ms, kept, passed = START_MS, (), []
    for step_ms in steps_ms:
        now_ms += step_ms
        times = admit(kept, limit, HOUR_MS, now_ms)
        recent = [at for at in passed if at > now_ms - HOUR_MS]
        assert (times is None) == (len(recent) >= limit), "it passes all that it may"
        if times is not None:
            kept = times
            passed.append(now_ms)
            assert len(kept) <= limit


windows = st.one_of(
    st.builds(lambda text: Window(fixed=text), DURATIONS),
    st.builds(lambda text, most: Window(sliding=text, at_most=most), DURATIONS, st.none() | DURATIONS),
    st.just(Window(at="09:00")),
)


@given(windows, st.lists(st.tuples(st.integers(0, HOUR_MS), st.integers(0, 100_000)), max_size=30))
def test_a_digest_closes_no_earlier_for_more_and_is_full_of_bytes_in_time(window, events):
    digest = join_digest(open_digest(b"o", window, START_MS, UTC), window, START_MS, 0)
    now_ms = START_MS
    assert digest.closes_ms > now_ms
    for number, (step_ms, size) in enumerate(events, 2):
        now_ms = min(now_ms + step_ms, digest.closes_ms)
        more = join_digest(digest, window, now_ms, size)
        assert more.closes_ms >= digest.closes_ms
        assert (more.places, more.size_bytes) == (number, digest.size_bytes + size)
        assert is_full(more) == (more.size_bytes >= DIGEST_BYTES_MAX)
        digest = more


@given(
    st.sampled_from(ZONES), st.integers(START_MS, START_MS + 10 * 365 * 24 * HOUR_MS), st.integers(0, 23),
    st.sampled_from([0, 1, 30, 59]), st.sets(st.integers(1, 7)),
)  # fmt: skip
def test_the_next_local_time_is_ahead_at_most_a_week_and_is_that_time_or_right_behind_a_gap(zone, now_ms, h, m, days):
    place = ZoneInfo(zone)
    found_ms = next_at(f"{h:02}:{m:02}", tuple(sorted(days)), place, now_ms)
    assert now_ms < found_ms <= now_ms + (8 * 24 + 2) * HOUR_MS
    shown = local_time(found_ms, place)
    before = local_time(found_ms - 1000, place)
    if (shown.hour, shown.minute) == (h, m):
        assert not days or shown.isoweekday() in days
    else:
        wanted = datetime(shown.year, shown.month, shown.day, h, m)
        assert before < wanted < shown or before.date() < shown.date(), "the clock skipped it"
