"""Caps: how much of something one person gets."""

from typing import Literal, TypeAlias

import msgspec

from clarion.domain.channel import Channel

OverCap: TypeAlias = Literal["skip", "defer", "digest"]
"""What becomes of what is over a cap: not sent, sent when there is room, or put into a digest."""


class Cap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """At most `limit` at once and then one every `per / limit`, per user: on `channel`, or on all together."""

    limit: int
    per: str
    channel: Channel | None = None
