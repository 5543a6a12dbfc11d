"""The next step after an attempt that was in flight when its worker was killed: send again, assume sent, or stop.

An intent without a recorded result means the send may have happened. The attempt is recorded as lost, and the channel's
policy for ambiguous attempts decides about another one. Only under that policy is a provider called again before the
outcome of the last call is known, and every such case is recorded.
"""

from clarion.deliver.rules.retry import Next
from clarion.domain.decision import Reason
from clarion.domain.delivery_state import Event
from clarion.domain.limits_delivery import LOST_STARTS_MAX


def after_loss(lost: int, on_ambiguous: str) -> Next:
    """Return the decision after the `lost`-th start in a row lost with its worker. `AMBIGUOUS` means that the next
    attempt is made at once.

    A message that repeatedly kills its worker becomes a dead letter as poison after `LOST_STARTS_MAX` starts; a
    replayed one may start that often again.
    """
    if lost >= LOST_STARTS_MAX:
        return Next(Event.EXHAUSTED, Reason.POISON)
    if on_ambiguous == "assume_sent":
        return Next(Event.ACCEPTED, Reason.ASSUMED_SENT)
    if on_ambiguous == "stop":
        return Next(Event.EXHAUSTED, Reason.AMBIGUOUS_STOP)
    return Next(Event.AMBIGUOUS)
