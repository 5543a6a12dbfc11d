"""What follows an attempt that was lost with its worker.

An intent without a recorded result means the send may have happened. The attempt is recorded as lost and the channel's
policy for ambiguous attempts decides about another one. This is the only way a provider is called twice for one attempt
of ours, and every such case leaves a recorded trace.
"""

from clarion.deliver.rules.retry import Next, Policy
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event
from clarion.domain.limits import LOST_STARTS_MAX


def after_loss(attempt: int, policy: Policy, on_ambiguous: str) -> Next:
    """Return what follows a lost attempt; `AMBIGUOUS` means the next attempt is made at once.

    It spends none of the retry budget, but a message that keeps killing its worker is parked after `LOST_STARTS_MAX`
    more starts than the policy allows; replayed, it gets as many again.
    """
    if attempt % (policy.attempts_max + LOST_STARTS_MAX) == 0:
        return Next(Event.EXHAUSTED, Reason.POISON)
    if on_ambiguous == "assume_sent":
        return Next(Event.ACCEPTED, Reason.ASSUMED_SENT)
    if on_ambiguous == "stop":
        return Next(Event.EXHAUSTED, Reason.AMBIGUOUS_STOP)
    return Next(Event.AMBIGUOUS)
