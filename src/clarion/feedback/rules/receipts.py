"""The values used of a receipt: its time, the address it suppresses and for how long."""

from typing import Final

from clarion.domain import address
from clarion.domain.channel import Channel
from clarion.domain.errors import InvalidField
from clarion.domain.limits import ADDRESS_CHARS_MAX

STOP: Final = "stop"
"""The reason of a suppression that the user requested and can lift."""
ROW_KINDS: Final = frozenset({"bounced", "complained", "unsubscribed"})
"""Kinds for which a broadcast's delivery gets a row of its own, which needs its user and address."""


def moment_ms(at_ms: int, created_ms: int, now_ms: int) -> int:
    """Return when an event happened: the provider's time (Unix ms, 0 when it gave none), unless that is before the
    message or after now."""
    return at_ms if created_ms <= at_ms <= now_ms else now_ms


def suppressible(channel: Channel, text: str) -> str | None:
    """Return the form in which an address is suppressed on a channel, None for an invalid address. Phone numbers may
    lack their plus, as several providers write them."""
    try:
        match channel:
            case Channel.EMAIL:
                return address.suppression_key(channel, address.email(text, "address"))
            case Channel.SMS | Channel.WHATSAPP:
                return address.phone(text if text.startswith("+") else f"+{text}", "address")
            case _:
                return address.single_line(text, "address", ADDRESS_CHARS_MAX) or None
    except InvalidField:
        return None


def until_ms(now_ms: int, ttl_ms: int | None) -> int | None:
    """Return when a suppression ends (Unix ms), None for never."""
    return None if ttl_ms is None else now_ms + max(ttl_ms, 0)
