"""Decisions about held deliveries: each one gets a decision, regardless of the current decision about its channel."""

from collections.abc import Sequence

from clarion.domain.channel import Channel
from clarion.domain.decision import Reason, Skip
from clarion.plan.rules.request_facts import Planned

_GONE = Skip(Reason.NO_CONTACT, "the address is not the user's any more")


def settle(planned: Sequence[Planned], channel: Channel, held: Sequence[str]) -> list[Planned]:
    """Return the plan of a channel with a decision about each held address: the decision about the channel as a whole
    (opted out, no contact, ...) applies to all of them, and an address that the user no longer has is skipped."""
    whole = next((one.decision for one in planned if not one.address and "" not in held), None)
    known = [one for one in planned if one.address or whole is None]
    missing = dict.fromkeys(held).keys() - {one.address for one in known}
    verdict = whole if whole is not None else _GONE
    return known + [Planned(channel, address, verdict) for address in held if address in missing]
