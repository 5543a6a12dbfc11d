"""Checks of suppressed addresses: the same forms as those of users, or nothing would ever match."""

from clarion.domain import address
from clarion.domain.channel import Channel
from clarion.domain.limits import ADDRESS_CHARS_MAX, KEY_CHARS_MAX


def check_address(channel: Channel, text: str, field: str = "address") -> str:
    """Return the canonical form of an address of a channel. Raises `InvalidField`."""
    match channel:
        case Channel.EMAIL:
            return address.email(text, field)
        case Channel.SMS | Channel.WHATSAPP:
            return address.phone(text, field)
        case Channel.WEBHOOK:
            return address.url(text, field)
        case Channel.INAPP:
            return address.identifier(text, field)
        case Channel.PUSH | Channel.WEBPUSH | Channel.CHAT:
            return address.single_line(text, field, ADDRESS_CHARS_MAX)


def check_reason(text: str, field: str = "reason") -> str:
    """Return a reason: one short line."""
    return address.single_line(text, field, KEY_CHARS_MAX)
