"""Validation of suppressed addresses, in the same form as those of users, so that they match."""

from clarion.domain import address
from clarion.domain.channel import Channel
from clarion.domain.limits import KEY_CHARS_MAX


def check_address(channel: Channel, text: str, field: str = "address") -> str:
    """Return the canonical form of an address of a channel. Raises `InvalidField`."""
    return address.contact(channel, text, field)


def check_reason(text: str, field: str = "reason") -> str:
    """Return a reason: one short line. Raises `InvalidField`."""
    return address.single_line(text, field, KEY_CHARS_MAX)
