"""What an outcome means for the health of the account it came through."""

from typing import Final

from clarion.domain.account_health import Tally
from clarion.domain.limits_delivery import THROTTLE_PAUSE_MS
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

UNCALLED: Final = frozenset({"render_failed", "unbuildable", "over_limit", "egress_blocked"})
"""Reasons of refusals before anything was sent."""
SUCCEEDED: Final = Tally(calls=1)
FAILED: Final = Tally(calls=1, failures=1)
NOTHING: Final = Tally()


def tally_of(outcome: Outcome, now_ms: int) -> Tally:
    """Return the tally of an outcome. A refused message or address counts as a success: the account works. A provider
    that asks for a pause of the whole account has not failed; the tally says how long the pause lasts."""
    match outcome:
        case Accepted() | InvalidRecipient():
            return SUCCEEDED
        case Refused():
            return NOTHING if outcome.reason in UNCALLED else SUCCEEDED
        case Throttled():
            if outcome.scope == "recipient":
                return SUCCEEDED
            pause_ms = THROTTLE_PAUSE_MS if outcome.after_ms is None else outcome.after_ms
            return Tally(paused_until_ms=now_ms + pause_ms)
        case Misconfigured():
            return Tally(calls=1, failures=1, misconfigured=outcome.detail)
        case Transient() | Ambiguous():
            return FAILED


def add_tallies(one: Tally, other: Tally) -> Tally:
    """Return the sum of two tallies."""
    return Tally(
        one.calls + other.calls,
        one.failures + other.failures,
        one.misconfigured if other.misconfigured is None else other.misconfigured,
        max(one.paused_until_ms, other.paused_until_ms),
        max(one.probe, other.probe),
    )


def is_lasting(tally: Tally) -> bool:
    """Return whether a tally opens, pauses or frees an account, so that it must not be lost."""
    return tally.probe > 0 or tally.paused_until_ms > 0 or tally.misconfigured is not None
