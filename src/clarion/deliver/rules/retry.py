"""What follows an attempt: done, try again at a time, or give up, always with the reason."""

from typing import assert_never

import msgspec

from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event
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


class Policy(msgspec.Struct, frozen=True):
    """Retry policy of a channel. Delays in milliseconds; `attempts_max` counts the first attempt of a round.

    Attempts are numbered on for as long as the delivery lives. A dead letter that is replayed begins a new round.
    """

    attempts_max: int
    base_ms: int
    cap_ms: int


class Next(msgspec.Struct, frozen=True):
    """What happens to the delivery: the event for its state, why, and when the next attempt is due (Unix ms)."""

    event: Event
    reason: Reason = Reason.NONE
    retry_ms: int | None = None


def backoff_ms(attempt: int, policy: Policy, jitter: float) -> int:
    """Return the delay after failed attempt number `attempt`: full jitter, uniform in [0, min(cap, base * 2^(n-1))] for
    the n-th attempt of its round.

    M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = min(policy.cap_ms, policy.base_ms * 2 ** min(in_round(attempt, policy) - 1, 40))
    return int(ceiling * jitter)


def in_round(attempt: int, policy: Policy) -> int:
    """Return which attempt of its round this is, from 1 to `attempts_max`."""
    return (attempt - 1) % policy.attempts_max + 1


def after(
    outcome: Outcome,
    attempt: int,
    policy: Policy,
    *,
    on_ambiguous: str,
    now_ms: int,
    jitter: float,
    expires_ms: int | None,
) -> Next:
    """Return what follows an outcome. `jitter` is in [0, 1); `on_ambiguous` is `retry`, `assume_sent` or `stop`."""
    match outcome:
        case Accepted():
            return Next(Event.ACCEPTED)
        case Throttled(after_ms=pause_ms) | Transient(after_ms=pause_ms):
            return _again(Event.RETRY, attempt, policy, now_ms, jitter, expires_ms, pause_ms or 0)
        case Ambiguous():
            if on_ambiguous == "assume_sent":
                return Next(Event.ACCEPTED, Reason.ASSUMED_SENT)
            if on_ambiguous == "stop":
                return Next(Event.EXHAUSTED, Reason.AMBIGUOUS_STOP)
            return _again(Event.AMBIGUOUS, attempt, policy, now_ms, jitter, expires_ms, 0)
        case Refused(reason=code):
            return Next(Event.REFUSED, _REFUSALS.get(code, Reason.REFUSED))
        case InvalidRecipient():
            return Next(Event.REFUSED, Reason.INVALID_RECIPIENT)
        case Misconfigured():
            return Next(Event.EXHAUSTED, Reason.MISCONFIGURED)
    assert_never(outcome)


_REFUSALS = {"render_failed": Reason.RENDER_FAILED, "egress_blocked": Reason.EGRESS_BLOCKED}


def _again(
    event: Event, attempt: int, policy: Policy, now_ms: int, jitter: float, expires_ms: int | None, pause_ms: int
) -> Next:
    if in_round(attempt, policy) == policy.attempts_max:
        return Next(Event.EXHAUSTED, Reason.ATTEMPTS_EXHAUSTED)
    # A stated pause is a floor: everyone was told the same one, so the jitter goes on top of it.
    due_ms = now_ms + pause_ms + backoff_ms(attempt, policy, jitter)
    if expires_ms is not None and due_ms >= expires_ms:
        return Next(Event.EXPIRED, Reason.EXPIRED)
    return Next(event, retry_ms=due_ms)
