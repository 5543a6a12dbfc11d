"""What follows an attempt that was lost with its worker.

An intent without a recorded result means the send may have happened. The attempt is recorded as lost and the channel's
policy for ambiguous attempts decides about another one. This is the only way a provider is called twice for one attempt
of ours, and every such case leaves a recorded trace.
"""

from clarion.deliver.rules.retry import Next
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event
from clarion.domain.limits import LOST_STARTS_MAX


def after_loss(lost: int, on_ambiguous: str) -> Next:
    """Return what follows the `lost`-th start in a row that died with its worker; `AMBIGUOUS` means the next attempt is made
    at once.

    A message that keeps killing its worker is parked as poison after `LOST_STARTS_MAX` starts; replayed, it gets as many
    again.
    """
    if lost >= LOST_STARTS_MAX:
        return Next(Event.EXHAUSTED, Reason.POISON)
    if on_ambiguous == "assume_sent":
        return Next(Event.ACCEPTED, Reason.ASSUMED_SENT)
    if on_ambiguous == "stop":
        return Next(Event.EXHAUSTED, Reason.AMBIGUOUS_STOP)
    return Next(Event.AMBIGUOUS)
