"""The channels of a delivery and its priority lanes."""

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
    """Priority lane; a lane is never overtaken by a less urgent one."""

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    BULK = "bulk"


CHANNELS: Final = tuple(Channel)
NAMES: Final = {channel: channel.value for channel in Channel}
"""Channel names as plain strings: reading an enum's value costs more."""
LANES: Final = tuple(Lane)
"""Lanes, most urgent first."""

DEVICE_CHANNELS: Final = frozenset({Channel.PUSH, Channel.WEBPUSH})
"""Channels whose address is a device of the user rather than a contact."""
