"""The mark of test notifications, so that recipients can distinguish them from real ones."""

from typing import Any, Final

from clarion.domain.channel import Channel

MARK: Final = "[Test] "
_HEADLINES: Final = {
    Channel.EMAIL: ("subject",),
    Channel.SMS: ("body",),
    Channel.PUSH: ("title", "body"),
    Channel.WEBPUSH: ("title", "body"),
    Channel.WHATSAPP: ("body",),
    Channel.CHAT: ("text",),
    Channel.INAPP: ("title", "body"),
    Channel.WEBHOOK: ("type",),
}
"""The parts that can carry the mark, by channel; the first existing one does."""


def add_test_mark(channel: Channel, parts: dict[str, Any]) -> dict[str, Any]:
    """Return the parts with the mark in front of the first part that a recipient reads."""
    for name in _HEADLINES[channel]:
        text = parts.get(name)
        if isinstance(text, str):
            return {**parts, name: MARK + text}
    return parts
