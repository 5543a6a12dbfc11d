"""What an outcome says about the account it came through."""

from typing import Final

from clarion.domain.limits_breakers import THROTTLE_PAUSE_MS
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
from clarion.domain.standing import Tally

UNCALLED: Final = frozenset({"render_failed", "unbuildable", "over_limit", "egress_blocked"})
"""Reasons of refusals that came about before anything was sent."""
WELL: Final = Tally(calls=1)
FAILED: Final = Tally(calls=1, failures=1)
NOTHING: Final = Tally()


def verdict_of(outcome: Outcome, now_ms: int) -> Tally:
    """Return what is counted for an outcome. A message or an address that is refused was refused by an account that works;
    a provider that asks the whole account for a pause has not failed, it says until when to be quiet."""
    match outcome:
        case Accepted() | InvalidRecipient():
            return WELL
        case Refused():
            return NOTHING if outcome.reason in UNCALLED else WELL
        case Throttled():
            if outcome.scope == "recipient":
                return WELL
            pause_ms = THROTTLE_PAUSE_MS if outcome.after_ms is None else outcome.after_ms
            return Tally(paused_until_ms=now_ms + pause_ms)
        case Misconfigured():
            return Tally(calls=1, failures=1, misconfigured=outcome.detail)
        case Transient() | Ambiguous():
            return FAILED


def summed(one: Tally, other: Tally) -> Tally:
    """Return what two tallies tell together."""
    return Tally(
        one.calls + other.calls,
        one.failures + other.failures,
        one.misconfigured if other.misconfigured is None else other.misconfigured,
        max(one.paused_until_ms, other.paused_until_ms),
        max(one.probe, other.probe),
    )


def lasting(tally: Tally) -> bool:
    """Return whether a tally opens, pauses or frees an account: it must not get lost on its way."""
    return tally.probe > 0 or tally.paused_until_ms > 0 or tally.misconfigured is not None
