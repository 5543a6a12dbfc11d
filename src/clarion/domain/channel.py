"""Channels a delivery can take and the priority lanes it travels in."""

from enum import StrEnum
from typing import Final


class Channel(StrEnum):
    """Kind of endpoint a delivery goes to."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"
    WEBPUSH = "webpush"
    WHATSAPP = "whatsapp"
    CHAT = "chat"
    INAPP = "inapp"
    WEBHOOK = "webhook"


class Lane(StrEnum):
    """Priority lane; a lane is never overtaken by one that stands after it."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    BULK = "bulk"


CHANNELS: Final = tuple(Channel)
NAMES: Final = {channel: channel.value for channel in Channel}
"""Channels as plain texts: an enum's own value costs more to get."""
LANES: Final = tuple(Lane)
"""Lanes, most urgent first."""

DEVICE_CHANNELS: Final = frozenset({Channel.PUSH, Channel.WEBPUSH})
"""Channels whose address is a device of the user rather than a contact."""
