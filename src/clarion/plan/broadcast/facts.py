"""The facts of one page of a broadcast: its users, the codes of their profiles, and their addresses with
suppressions."""

from collections.abc import Mapping, Sequence

import msgspec

from clarion.domain.channel import Channel
from clarion.plan.broadcast.addresses import Addresses
from clarion.plan.claims import Blocks
from clarion.plan.rules.chunks import Code, Row
from clarion.plan.rules.request_facts import RequestFacts


class PageFacts(msgspec.Struct, frozen=True):
    """The gathered facts. `columns` are the rows' columns after their head, `position` is the ordinal at which the page
    ends, `done` is whether it is the last page, and `scanned` is the number of users that were examined to find
    these."""

    request_facts: RequestFacts
    columns: tuple[str, ...]
    rows: Sequence[Row]
    position: int
    done: bool
    scanned: int
    codes: Mapping[Channel, Mapping[int, Code]] = {}
    """By channel: the code that all users of a profile share."""
    zones: Mapping[int, str] = {}
    """Zones of profiles, if the broadcast depends on them."""
    addresses: Mapping[Channel, Addresses] = {}
    """Addresses of the users of all rows, for channels on which the tenant has suppressions."""
    suppressed: Mapping[Channel, Mapping[str, str]] = {}
    """The suppressed ones of these addresses, with the reason."""
    caps: Mapping[tuple[str, bytes], Blocks] = {}
    """By tenant and rule id: the cap times of all users in the page."""
