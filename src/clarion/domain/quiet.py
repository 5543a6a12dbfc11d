"""Quiet hours: the times at which a user is not to be disturbed."""

from typing import Final

import msgspec

from clarion.domain.channel import CHANNELS, Channel
from clarion.domain.errors import InvalidField
from clarion.domain.limits import QUIET_WINDOWS_MAX
from clarion.domain.localtime import check_clock, check_days

DISTURBING: Final = (Channel.PUSH, Channel.WEBPUSH, Channel.SMS, Channel.WHATSAPP, Channel.CHAT, Channel.EMAIL)
"""Channels that quiet hours hold unless they name other channels."""


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


def check_quiet(quiet: QuietHours, field: str) -> QuietHours:
    """Return quiet hours in canonical order, so that equal ones are equal values. Raises `InvalidField` with the path of
    the first fault; `field` is empty when they are the whole body."""
    path = f"{field}." if field else ""
    if len(quiet.windows) > QUIET_WINDOWS_MAX:
        raise InvalidField(f"has more than {QUIET_WINDOWS_MAX} windows", field=f"{path}windows")
    windows = {_window(window, f"{path}windows[{index}]") for index, window in enumerate(quiet.windows)}
    if not quiet.channels:
        raise InvalidField("names no channel; without windows nothing is held", field=f"{path}channels")
    named = DISTURBING if set(quiet.channels) == set(DISTURBING) else sorted(set(quiet.channels), key=CHANNELS.index)
    return QuietHours(tuple(sorted(windows, key=lambda w: (w.start, w.end, w.days))), tuple(named))


def _window(window: QuietWindow, path: str) -> QuietWindow:
    start, end = check_clock(window.start, f"{path}.start"), check_clock(window.end, f"{path}.end")
    days = check_days(window.days, f"{path}.days")
    return QuietWindow(start, end, () if len(days) == 7 else days)
