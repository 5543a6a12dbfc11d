"""Quiet hours: when a person is not to be disturbed."""

from typing import Final

import msgspec

from clarion.domain.channel import Channel

DISTURBING: Final = (Channel.PUSH, Channel.WEBPUSH, Channel.SMS, Channel.WHATSAPP, Channel.CHAT, Channel.EMAIL)
"""Channels that quiet hours hold unless they name others."""


class QuietWindow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """From `start` up to `end`, both `HH:MM` on the wall clock; one that ends at or before its start ends the next day.

    `days` are ISO weekdays (1 is Monday) on which it starts; none means every day.
    """

    start: str
    end: str
    days: tuple[int, ...] = ()


class QuietHours(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The windows of a user or, as default, of a tenant. A user with no windows at all is never quiet.

    `channels` are held while one of the windows lasts.
    """

    windows: tuple[QuietWindow, ...] = ()
    channels: tuple[Channel, ...] = DISTURBING
