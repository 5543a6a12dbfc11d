"""The next step after a turn of a delivery: success, failover to another account, a retry with backoff at a given time, a wait,
or giving up as a dead letter; always with the reason."""

from typing import Final, NamedTuple, assert_never

import msgspec

from clarion.domain.channel import Lane
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event
from clarion.domain.limits_delivery import FALLBACK_TRIES_MAX, PARK_GROWTH, PARK_MS_MAX, PARK_MS_MIN, PARK_URGENT_MS_MAX
from clarion.domain.outcome import (
    Accepted,
    Ambiguous,
    InvalidRecipient,
    Misconfigured,
    Outcome,
    Refused,
    Throttled,
    Transient,
)
from clarion.domain.trail import Trail

URGENT = frozenset({Lane.CRITICAL, Lane.HIGH})
_THROTTLE_MS = 1_000
"""The pause for a provider that asks for one without a length."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """How long and how often a channel tries. `pauses_ms` are the longest pauses after the first, second, ... failed
    pass over its accounts; the last one applies to all later passes. A delivery is given up `age_max_ms` after its
    round began, and after `passes_max` failed passes if that bound is set."""

    pauses_ms: tuple[int, ...]
    age_max_ms: int
    passes_max: int | None = None


class Turn(NamedTuple):
    """The circumstances of a turn: when it ends, the account that made it (empty: there was none), whether another
    account could take the delivery now, whether a route has another channel when this one gives up, and a chance in [0,
    1)."""

    now_ms: int
    jitter: float
    provider: str
    others: bool = False
    falls_back: bool = False
    on_ambiguous: str = "retry"
    expires_ms: int | None = None


class Next(msgspec.Struct, frozen=True):
    """The decision for a delivery: the event for its state, the reason, when the next turn is due (Unix ms) and with
    what trail."""

    event: Event
    reason: Reason = Reason.NONE
    retry_ms: int | None = None
    trail: Trail | None = None


ACCEPTED: Final = Next(Event.ACCEPTED)
"""The decision after any successful attempt."""


def pause_ms(failures: int, policy: RetryPolicy, jitter: float) -> int:
    """Return the pause after failed pass number `failures` (from 1): full jitter, uniform between zero and the pause of
    the schedule.

    M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return int(_ceiling_ms(failures, policy) * jitter)


def after(outcome: Outcome, been: Trail, policy: RetryPolicy, turn: Turn) -> Next:
    """Return the decision after an attempt with this outcome."""
    been = _begin(been, turn)
    match outcome:
        case Accepted():
            return ACCEPTED
        case Refused(reason=code):
            return Next(Event.REFUSED, _REFUSALS.get(code, Reason.REFUSED))
        case InvalidRecipient():
            return Next(Event.REFUSED, Reason.INVALID_RECIPIENT)
        case Ambiguous(after_ms=asked_ms):
            return _after_ambiguous(been, policy, turn, asked_ms or 0)
        case Throttled(after_ms=asked_ms, scope="recipient"):
            return _paused(Reason.PACED, been, policy, turn, asked_ms)
        case Throttled() | Transient() | Misconfigured():
            return _after_unsent(outcome, been, policy, turn)
    assert_never(outcome)


_REFUSALS = {"render_failed": Reason.RENDER_FAILED, "egress_blocked": Reason.EGRESS_BLOCKED}


def parked(reason: Reason, until_ms: int, lane: Lane, been: Trail, policy: RetryPolicy, turn: Turn) -> Next:
    """Return the decision after a turn in which no account could take the delivery before `until_ms`.

    A delivery that waits for a provider that is down, or for room in the retry budget, tries again at growing
    intervals, and once more before its deadline; urgent lanes stay close to the recovery. A route does not wait for a
    channel that is down.
    """
    been = _begin(been, turn)
    if reason is Reason.PROVIDER_DOWN and turn.falls_back and not turn.others:
        return Next(Event.REFUSED, reason)
    wait_ms = max(until_ms - turn.now_ms, PARK_MS_MIN)
    if turn.others:
        wait_ms = 0
    elif reason in (Reason.PROVIDER_DOWN, Reason.RETRY_BUDGET):
        # A delivery that has waited for days need not be tried every five minutes.
        waited_ms = 0 if been.parked_ms is None else turn.now_ms - been.parked_ms
        most_ms = max(PARK_URGENT_MS_MAX if lane in URGENT else PARK_MS_MAX, waited_ms // PARK_GROWTH)
        longest_ms = min(most_ms, max(wait_ms, PARK_MS_MIN * 5 * 2 ** min(been.parks, 16)))
        wait_ms = max(min(wait_ms, most_ms), int(longest_ms * (0.5 + turn.jitter / 2)))
        left_ms = _deadline_ms(been, policy, turn) - turn.now_ms
        if PARK_MS_MIN < left_ms <= wait_ms:
            wait_ms = max(PARK_MS_MIN, int(left_ms * (0.5 + turn.jitter / 2)) - 1)
    since_ms = turn.now_ms if been.parked_ms is None else been.parked_ms
    trail = msgspec.structs.replace(been, parked_ms=since_ms, parks=been.parks + 1, reason=int(reason), tried=())
    return _due(Event.PARKED, reason, trail, policy, turn, turn.now_ms + wait_ms)


def _begin(been: Trail, turn: Turn) -> Trail:
    return been if been.since_ms else msgspec.structs.replace(been, since_ms=turn.now_ms)


def _after_unsent(outcome: Throttled | Transient | Misconfigured, been: Trail, policy: RetryPolicy, turn: Turn) -> Next:
    if turn.others:
        trail = _after_attempt(been, tried=(*been.tried, turn.provider))
        return Next(Event.RETRY, Reason.FAILED_OVER, turn.now_ms, trail)
    if isinstance(outcome, Misconfigured):
        if turn.falls_back or not turn.provider:
            return Next(Event.EXHAUSTED, Reason.MISCONFIGURED)
        # Not the delivery's failure: it waits until the account is repaired, for as long as its age allows.
        due_ms = turn.now_ms + pause_ms(been.failures + 1, policy, turn.jitter)
        trail = _after_attempt(been, reason=int(Reason.MISCONFIGURED))
        return _due(Event.RETRY, Reason.MISCONFIGURED, trail, policy, turn, due_ms)
    if isinstance(outcome, Throttled):
        return _paused(Reason.NONE, been, policy, turn, outcome.after_ms)
    return _again(Event.RETRY, Reason.NONE, been, policy, turn, outcome.after_ms or 0)


def _after_ambiguous(been: Trail, policy: RetryPolicy, turn: Turn, asked_ms: int) -> Next:
    if turn.on_ambiguous == "assume_sent":
        return Next(Event.ACCEPTED, Reason.ASSUMED_SENT)
    if turn.on_ambiguous == "stop":
        return Next(Event.EXHAUSTED, Reason.AMBIGUOUS_STOP)
    pinned = msgspec.structs.replace(been, pinned=turn.provider)
    return _again(Event.AMBIGUOUS, Reason.NONE, pinned, policy, turn, asked_ms)


def _paused(reason: Reason, been: Trail, policy: RetryPolicy, turn: Turn, asked_ms: int | None) -> Next:
    """Return the next attempt after a pause the provider asked for: all deliveries got the same one, so it is a floor
    and the jitter is added to it."""
    floor_ms = _THROTTLE_MS if asked_ms is None else asked_ms
    trail = _after_attempt(been, failures=been.failures + 1, reason=int(reason))
    if _gives_up(trail, policy, turn):
        return Next(Event.EXHAUSTED, Reason.ATTEMPTS_EXHAUSTED)
    return _due(Event.RETRY, reason, trail, policy, turn, turn.now_ms + floor_ms + int(floor_ms * turn.jitter / 8))


def _again(event: Event, reason: Reason, been: Trail, policy: RetryPolicy, turn: Turn, floor_ms: int) -> Next:
    trail = _after_attempt(been, failures=been.failures + 1, reason=int(reason))
    if _gives_up(trail, policy, turn):
        return Next(Event.EXHAUSTED, Reason.ATTEMPTS_EXHAUSTED)
    due_ms = turn.now_ms + floor_ms + pause_ms(trail.failures, policy, turn.jitter)
    left_ms = _deadline_ms(trail, policy, turn) - turn.now_ms
    before_ms = _ceiling_ms(trail.failures - 1, policy) if trail.failures > 1 else 0
    if due_ms - turn.now_ms >= left_ms and max(floor_ms, before_ms) < left_ms:
        # The schedule would pass the deadline: one last attempt comes before it.
        due_ms = turn.now_ms + floor_ms + int((left_ms - floor_ms) * turn.jitter)
    return _due(event, reason, trail, policy, turn, due_ms)


def _due(event: Event, reason: Reason, trail: Trail, policy: RetryPolicy, turn: Turn, due_ms: int) -> Next:
    if due_ms < _deadline_ms(trail, policy, turn):
        return Next(event, reason, due_ms, trail)
    if turn.expires_ms is not None and due_ms >= turn.expires_ms:
        return Next(Event.EXPIRED, Reason.EXPIRED)
    final = Reason.ATTEMPTS_EXHAUSTED if reason in (Reason.NONE, Reason.PACED) else reason
    return Next(Event.EXHAUSTED, final)


def _after_attempt(been: Trail, **changes: object) -> Trail:
    """Return the trail after an attempt: the accounts tried in a pass are cleared when the next pass begins."""
    return msgspec.structs.replace(been, **{"tried": (), "parked_ms": None, "parks": 0, "reason": 0, **changes})


def _gives_up(trail: Trail, policy: RetryPolicy, turn: Turn) -> bool:
    most = FALLBACK_TRIES_MAX if turn.falls_back else policy.passes_max
    return most is not None and trail.failures >= min(most, policy.passes_max or most)


def _deadline_ms(trail: Trail, policy: RetryPolicy, turn: Turn) -> int:
    deadline_ms = trail.since_ms + policy.age_max_ms
    return deadline_ms if turn.expires_ms is None else min(deadline_ms, turn.expires_ms)


def _ceiling_ms(failures: int, policy: RetryPolicy) -> int:
    return policy.pauses_ms[min(failures, len(policy.pauses_ms)) - 1]
