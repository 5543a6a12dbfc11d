"""What was held and is decided again: every delivery of then comes to an end, whatever is decided about the channel now."""

from collections.abc import Sequence

from clarion.domain.channel import Channel
from clarion.domain.decision import Reason, Skip
from clarion.plan.rules.setting import Planned

_GONE = Skip(Reason.NO_CONTACT, "the address is not the user's any more")


def settled(planned: Sequence[Planned], channel: Channel, held: Sequence[str]) -> list[Planned]:
    """Return the plan of a channel with a decision about each address that was held: what is said of the channel as a whole
    (opted out, no contact, ...) is said of those, and an address that is gone is skipped."""
    whole = next((one.decision for one in planned if not one.address and "" not in held), None)
    known = [one for one in planned if one.address or whole is None]
    missing = dict.fromkeys(held).keys() - {one.address for one in known}
    verdict = whole if whole is not None else _GONE
    return known + [Planned(channel, address, verdict) for address in held if address in missing]
