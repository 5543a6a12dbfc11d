"""The facts of one page of a broadcast: its users, what their profiles share, and what is known of their addresses."""

from collections.abc import Mapping, Sequence

import msgspec

from clarion.domain.channel import Channel
from clarion.plan.broadcast.addresses import Addresses
from clarion.plan.claims import Blocks
from clarion.plan.rules.chunks import Code, Row
from clarion.plan.rules.setting import Setting


class PageFacts(msgspec.Struct, frozen=True):
    """What was gathered. `columns` are those of the rows after their head, `position` is the ordinal that the page ends at,
    `done` whether it is the last, and `looked_at` how many users were looked at to find these."""

    setting: Setting
    columns: tuple[str, ...]
    rows: Sequence[Row]
    position: int
    done: bool
    looked_at: int
    codes: Mapping[Channel, Mapping[int, Code]] = {}
    """Per channel what everyone of a profile shares."""
    zones: Mapping[int, str] = {}
    """Zones of profiles, if the broadcast goes by them."""
    addresses: Mapping[Channel, Addresses] = {}
    """Where the users of all rows can be reached, of channels on which the tenant has suppressions."""
    suppressed: Mapping[Channel, Mapping[str, str]] = {}
    """Which of these addresses are suppressed, and why."""
    caps: Mapping[tuple[str, bytes], Blocks] = {}
    """By tenant and rule id: the cap times of everyone in the page."""
