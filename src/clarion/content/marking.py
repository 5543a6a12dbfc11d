"""The mark of a test: whoever gets one has to see that it is none of the real ones."""

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
"""Per channel the parts that can carry the mark; the first one there does."""


def marked(channel: Channel, parts: dict[str, Any]) -> dict[str, Any]:
    """Return the parts with the mark in front of the first that a person reads."""
    for name in _HEADLINES[channel]:
        text = parts.get(name)
        if isinstance(text, str):
            return {**parts, name: MARK + text}
    return parts
